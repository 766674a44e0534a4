// The sheet that only some pages need: it comes with the first of them, before that is drawn, and
// so does not hold up the others.
const link = document.createElement("link");
link.rel = "stylesheet";
link.href = "/ui/pages.css";
await new Promise((resolve) => {
  link.onload = resolve;
  link.onerror = resolve; // plain pages are better than none
  document.head.append(link);
});
