// Configuration: what is in force, what waits, why the last reload failed, and what each changed.
import "../lib/sheet.js";
import { html, useState } from "../lib/ui.js";
import { usePolled } from "../lib/api.js";
import { ago, count, cut, moment } from "../lib/format.js";
import { Badge, Empty, Failure, Heading, Icon } from "../lib/parts.js";

const SHOWN = 50; // members of one table, before somebody asks for more

export function Page() {
  const { data, error } = usePolled("/api/config?settings=false", 3000);
  return html`
    <${Heading} title="Configuration" note="Secrets are shown nowhere, and comments of the file neither, since secrets stay behind in them." />
    <${Failure} error=${error} />
    ${data && html`<${InForce} told=${data} /><${History} history=${data.history ?? []} generation=${data.generation} />
      <${Settings} key=${data.generation} />`}`;
}

function InForce({ told }) {
  const pending = told.pending_restart ?? [];
  return html`
    <section class="card stack" aria-labelledby="in-force">
      <h2 id="in-force">In force</h2>
      <dl class="tiles">
        <div><dt>Generation</dt><dd>${count(told.generation)}</dd></div>
        <div><dt>Read</dt><dd>${ago(Date.parse(told.loaded_at))}</dd></div>
        <div><dt>Waiting for a restart</dt><dd>${pending.length || "nothing"}</dd></div>
      </dl>
      <p class="muted small text">${told.file && html`${cut(told.file, 300)}, `}${moment(Date.parse(told.loaded_at))}</p>
      ${pending.length > 0 && html`<div class="notice warn"><${Icon} name="warn" /> <strong>Only after a restart:</strong>${" "}
        ${pending.map((key, i) => html`${i > 0 && ", "}<code>${cut(key, 80)}</code>`)}. Everything else of the file is in force.</div>`}
      ${told.last_reload_error && html`<div class="notice bad" role="alert"><${Icon} name="bad" /> <strong>The last reload failed.</strong> What was in force before still is.
        <pre class="code wrap">${cut(told.last_reload_error, 4000)}</pre></div>`}
    </section>`;
}

const History = ({ history, generation }) => html`
  <section class="card stack" aria-labelledby="reloads">
    <h2 id="reloads">Reloads</h2>
    ${!history.length && html`<${Empty} title="None since the start">Send HUP, POST to /reload, or set watch = true.<//>`}
    <ol class="reloads">${history.map((one) => html`<${Reload} key=${`${one.at} ${one.generation}`} one=${one} now=${one.ok && one.generation === generation} />`)}</ol>
  </section>`;

function Reload({ one, now }) {
  const lines = one.diff ? one.diff.split("\n").filter((line, i, all) => line || i < all.length - 1) : [];
  const changed = lines.filter((line) => /^[+-](?![+-]{2} )/.test(line)).length;
  return html`
    <li data-generation=${one.generation}>
      <p class="reload-head"><${Badge} kind=${one.ok ? "good" : "bad"}>${one.ok ? (now ? "in force now" : "taken") : "refused"}<//>
        <strong>Generation ${count(one.generation)}</strong>
        <span class="muted small">${moment(Date.parse(one.at))}, ${ago(Date.parse(one.at))}</span></p>
      ${one.error && html`<pre class="code wrap">${cut(one.error, 4000)}</pre>`}
      ${changed > 0 ? html`<details open=${now}><summary>What changed, ${count(changed)} lines</summary>
          <pre class="code diff" tabindex="0" aria-label="Diff">${lines.map((line) => html`<span class=${kind(line)}>${cut(line, 500)}${"\n"}</span>`)}</pre></details>`
        : html`<p class="muted small">${one.ok ? "Nothing that is shown: secrets and comments are not." : "No difference is shown: the file could not be read as TOML, or differs in secrets and comments alone."}</p>`}
    </li>`;
}

const kind = (line) => (/^(---|\+\+\+) /.test(line) ? "file" : line.startsWith("@@") ? "hunk" : line[0] === "+" ? "more" : line[0] === "-" ? "less" : "same");

/** All settings; they may be megabytes, and so come when somebody asks for them. */
function Settings() {
  const [open, turn] = useState(false);
  const { data, error } = usePolled(open ? "/api/config" : null, 0);
  return html`
    <section class="card stack" aria-labelledby="settings">
      <h2 id="settings">All settings</h2>
      ${!open && html`<p><button type="button" onClick=${() => turn(true)}>Show every key with its value</button></p>`}
      <${Failure} error=${error} />
      ${data && html`<${Tree} value=${data.settings ?? {}} path="" />`}
    </section>`;
}

const isTable = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 0;
const nameOf = (key, value) => (value?.name || value?.address || value?.path ? `${key} · ${cut(value.name || value.address || value.path, 60)}` : cut(key, 80));

function Tree({ value, path }) {
  const [most, more] = useState(SHOWN);
  const entries = Object.entries(value);
  const simple = entries.filter(([, one]) => !isTable(one));
  const tables = entries.filter(([, one]) => isTable(one));
  return html`
    ${simple.length > 0 && html`<dl class="facts tree-facts">${simple.slice(0, most).map(([key, one]) => html`<dt>${cut(key, 80)}</dt><dd class="mono text">${cut(leaf(one), 2000)}</dd>`)}</dl>`}
    ${tables.slice(0, most).map(([key, one]) => html`<${Branch} key=${key} name=${Array.isArray(value) ? nameOf(Number(key) + 1, one) : cut(key, 80)} value=${one} path=${`${path}.${key}`} />`)}
    ${entries.length > most && html`<p><button type="button" class="quiet" onClick=${() => more(most * 4)}>Show more of ${count(entries.length)}</button></p>`}`;
}

function Branch({ name, value, path }) {
  const [open, turn] = useState(false);
  return html`
    <details class="branch" onToggle=${(event) => turn(event.currentTarget.open)}>
      <summary><span class="text">${name}</span> <span class="muted small">${count(Object.keys(value).length)}</span></summary>
      ${open && html`<div class="branch-in"><${Tree} value=${value} path=${path} /></div>`}
    </details>`;
}

const leaf = (value) => (value === null ? "none" : typeof value === "string" ? JSON.stringify(value)
  : typeof value === "object" ? (Array.isArray(value) ? "[ ]" : "{ }") : String(value));
