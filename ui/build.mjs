// Bundles entry.mjs into vendor.js, with uPlot's style sheet and everybody's licence beside it.
//
//   node build.mjs [FOLDER]      FOLDER: proxy/admin/ui
//
// The same package-lock.json gives the same bytes: no times, paths or names of this machine.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(here, "..", "proxy", "admin", "ui"));
const modules = join(here, "node_modules");

await build({
  absWorkingDir: here,
  entryPoints: ["entry.mjs"],
  outfile: join(target, "vendor.js"),
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none", // they are all in LICENSES.txt
  banner: { js: "/* Made by `make ui`. Licences: LICENSES.txt */" },
  logLevel: "warning",
});

// All that are locked but the bundler, which leaves nothing of itself; dagre has graphlib within it.
const lock = JSON.parse(readFileSync(join(here, "package-lock.json"), "utf8"));
const packages = Object.keys(lock.packages)
  .filter((path) => path.startsWith("node_modules/") && !path.includes("esbuild"))
  .map((path) => path.slice("node_modules/".length))
  .sort();

function licence(name) {
  const folder = join(modules, name);
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trimEnd();
  return `${name} ${about.version} (${about.license})\n\n${text}\n`;
}

const rule = `\n${"-".repeat(80)}\n\n`;
writeFileSync(
  join(target, "LICENSES.txt"),
  `vendor.js and vendor.css hold code of these projects:\n${rule}${packages.map(licence).join(rule)}`,
);

const css = join(modules, "uplot", "dist", "uPlot.min.css");
if (!existsSync(css)) throw new Error("uPlot's style sheet is not where it was");
writeFileSync(join(target, "vendor.css"), readFileSync(css, "utf8").trimEnd() + "\n");
