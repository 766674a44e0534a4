// A row of filters that live in the page's address: typed ones are taken after a short rest.
import { html, useEffect, useRef, useState } from "./ui.js";
import { cut } from "./format.js";
import { go, url } from "./router.js";

const REST = 250; // ms without a key

/** Put `changes` into the address of `page`, in place of what `params` had. */
export function useFilters(page, params) {
  const { id, ...query } = params;
  const latest = useRef(query);
  latest.current = query;
  return (changes) => go(url(page, { ...latest.current, ...changes }), { replace: true });
}

/** A labelled box whose value is told when the typing rests or the box is left. */
export function Typed({ label, value = "", onValue, width = "w-m", ...more }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => { setText(value); }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const tell = (now) => { clearTimeout(timer.current); if (now !== value) onValue(now); };
  const onInput = (event) => {
    const now = event.target.value;
    setText(now);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => tell(now), REST);
  };
  return html`<label class=${`field ${width}`}>${label}
    <input type="text" autocomplete="off" spellcheck=${false} ...${more} value=${text} onInput=${onInput}
      onChange=${(event) => tell(event.target.value)} /></label>`;
}

/** One of some names, or of [value, title] pairs; a value that is no longer among them stays. */
export function Chosen({ label, value = "", options, onValue, width = "w-m" }) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, cut(option, 60)]));
  if (!pairs.some(([name]) => name === value)) pairs.push([value, cut(value, 60)]);
  return html`<label class=${`field ${width}`}>${label}
    <select value=${value} onChange=${(event) => onValue(event.target.value)}>
      ${pairs.map(([name, title]) => html`<option value=${name} selected=${name === value}>${title}</option>`)}
    </select></label>`;
}

export const Checked = ({ label, value, onValue }) => html`
  <label class="check"><input type="checkbox" checked=${value} onChange=${(event) => onValue(event.target.checked)} />
    ${label}</label>`;
