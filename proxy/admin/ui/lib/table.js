// A table that draws the rows in sight alone: 50,000 rows cost what 50 do.
//
// It is one stop of the Tab key; arrows, Page Up and Down, Home and End move in it, Enter opens a
// row, Space marks it. A row keeps its place in sight when others come in above it.
import { html, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./ui.js";

const BEYOND = 6; // rows drawn above and below those in sight
const HEAD = 36; // px

/**
 * columns: [{title, cell(row), width, narrow, num}]; widths are CSS grid tracks, `narrow` is the
 * one on a phone, where a column without it is left out. `rowKey(row)` names a row, `open(row)`
 * is what Enter and a click do, `mark(row)` what Space does, `isMarked(row)` whether it did.
 */
export function Table({
  label, columns, rows, rowKey, open, mark, isMarked, isFailed, rowHeight = 36, height = "60vh",
}) {
  const id = useId();
  const box = useRef(null);
  const [at, setAt] = useState(null); // the key of the row that arrows move from
  const { first, last, scrolled } = useSight(box, rows.length, rowHeight);
  useAnchor(box, rows, rowKey, rowHeight, scrolled);

  const tracks = useMemo(() => [
    columns.map((column) => column.width ?? "minmax(0, 1fr)").join(" "),
    columns.map((column) => column.narrow).filter(Boolean).join(" "),
  ], [columns]);
  useLayoutEffect(() => {
    box.current.style.setProperty("--columns", tracks[0]);
    box.current.style.setProperty("--narrow", tracks[1]);
  }, [tracks]);

  const here = () => rows.findIndex((row) => rowKey(row) === at);
  const move = (index) => {
    if (!rows.length) return;
    const to = Math.max(0, Math.min(rows.length - 1, index));
    setAt(rowKey(rows[to]));
    reveal(box.current, to, rowHeight);
  };
  const onKey = (event) => {
    if (event.target !== box.current || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((box.current.clientHeight - HEAD) / rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const index = here();
    if (event.key in steps) move(index < 0 ? 0 : index + steps[event.key]);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(rows.length - 1);
    else if (event.key === "Enter" && open && index >= 0) open(rows[index]);
    else if (event.key === " " && mark && index >= 0) mark(rows[index]);
    else return;
    event.preventDefault();
  };
  const onClick = (event, row) => {
    if (event.target.closest("a, button, input, label")) return;
    setAt(rowKey(row));
    open?.(row);
  };

  // Lines have no keys: one that leaves sight becomes the next one, and few elements are made.
  const sight = rows.slice(first, last);
  const active = sight.findIndex((row) => rowKey(row) === at);
  return html`
    <div class="rows" role="grid" tabindex="0" ref=${box} aria-label=${label}
      aria-rowcount=${rows.length + 1} aria-activedescendant=${active < 0 ? undefined : `${id}-${first + active}`}
      aria-multiselectable=${mark ? "true" : undefined} onKeyDown=${onKey} style=${{ height }}>
      <div class="head" role="rowgroup"><div class="line" role="row" aria-rowindex="1">
        ${columns.map((column) => html`<div role="columnheader" class=${classes(column)}>${column.title}</div>`)}
      </div></div>
      <div class="body" role="rowgroup" style=${{ height: `${rows.length * rowHeight}px` }}>
        ${sight.map((row, offset) => html`<${Line} id=${`${id}-${first + offset}`} row=${row}
          columns=${columns} index=${first + offset} height=${rowHeight} at=${rowKey(row) === at}
          marked=${mark ? Boolean(isMarked(row)) : undefined} failed=${isFailed?.(row)} can=${Boolean(open)}
          onClick=${onClick} />`)}
      </div>
    </div>`;
}

const classes = (column) => `clip${column.num ? " num" : ""}${column.narrow ? "" : " wide"}`;

const Line = ({ id, row, columns, index, height, at, marked, failed, can, onClick }) => html`
  <div role="row" id=${id} aria-rowindex=${index + 2} aria-selected=${marked === undefined ? at : marked}
    class=${`line${can ? " can" : ""}${at ? " at" : ""}${failed ? " failed" : ""}`}
    onClick=${(event) => onClick(event, row)}
    style=${{ height: `${height}px`, transform: `translateY(${index * height}px)` }}>
    ${columns.map((column) => html`<div role="gridcell" class=${classes(column)}>${column.cell(row)}</div>`)}
  </div>`;

/** Which rows are in sight: {first, last, scrolled}. */
export function useSight(box, length, rowHeight) {
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const element = box.current;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const watcher = new ResizeObserver(look);
    watcher.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => { watcher.disconnect(); element.removeEventListener("scroll", look); };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - BEYOND);
  const last = Math.min(length, Math.ceil((view.top + view.height) / rowHeight) + BEYOND);
  return { first: Math.min(first, Math.max(0, length - 1)), last, scrolled: view.top };
}

/** Who has scrolled down keeps what they look at when rows come in above. */
function useAnchor(box, rows, rowKey, rowHeight, scrolled) {
  const anchor = useRef(null);
  const hold = () => {
    // Asking the element for its scrollTop would make the browser lay out all, for each new row.
    const index = scrolled > 0 ? Math.min(rows.length - 1, Math.ceil(scrolled / rowHeight)) : 0;
    anchor.current = index > 0 ? { key: rowKey(rows[index]), index } : null;
  };
  useLayoutEffect(() => {
    const held = anchor.current;
    const now = held ? rows.findIndex((row) => rowKey(row) === held.key) : -1;
    if (now < 0) { hold(); return; }
    if (now !== held.index) box.current.scrollTop += (now - held.index) * rowHeight;
    held.index = now;
  }, [rows]);
  useLayoutEffect(hold, [scrolled]);
}

/** Scroll so that a row is in sight, below the heading that stays. */
export function reveal(element, index, rowHeight, head = HEAD) {
  const top = index * rowHeight;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top + rowHeight + head > element.scrollTop + element.clientHeight)
    element.scrollTop = top + rowHeight + head - element.clientHeight;
}
