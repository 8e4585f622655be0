// Components that pages share.

import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "./html.js";
import { may } from "./api.js";
import { useNow } from "./data.js";
import { DEFAULT, link, short } from "./names.js";
import { decode } from "./payload.js";
import { store, useStore } from "./store.js";

/// The heading gets the focus when a page opens, so that screen readers and the keyboard start there.
export function Page({ title, hint, actions, children }) {
    const heading = useRef();
    useEffect(() => {
        document.title = `${title} · Switchbox`;
    }, [title]);
    useLayoutEffect(() => heading.current?.focus({ preventScroll: true }), []);
    return html`<div class="head"><div><h1 tabindex="-1" ref=${heading}>${title}</h1>${hint && html`<p class="hint">${hint}</p>`}</div>
        <div class="actions">${actions}</div></div>${children}`;
}

export function Section({ title, actions, children, ...rest }) {
    const id = useId();
    return html`<section class="card" aria-labelledby=${id} ...${rest}><div class="cardhead"><h2 id=${id}>${title}</h2>
        <div class="actions">${actions}</div></div>${children}</section>`;
}

const UNITS = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1_000, "s"]];

/// A span in its largest unit.
export function span(ms) {
    const at = UNITS.find(([size]) => ms >= size);
    return at ? `${Math.floor(ms / at[0])} ${at[1]}` : `${Math.max(0, Math.round(ms))} ms`;
}

export function Time({ at }) {
    const now = useNow();
    if (!at) return html`<span class="dim">never</span>`;
    const ms = now - Date.parse(at);
    const text = ms > 1_500 ? `${span(ms)} ago` : ms < -1_500 ? `in ${span(-ms)}` : "now";
    return html`<time datetime=${at} title=${at}>${text}</time>`;
}

/// Hours, minutes, seconds and milliseconds of a moment, as this browser's time zone has them; of another day with its date.
export function clock(at) {
    const date = new Date(at);
    const two = (n) => String(n).padStart(2, "0");
    const days = Math.abs(Date.now() - date) < 86_400_000 && date.getDate() === new Date().getDate() ? "" : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `;
    return `${days}${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

export function size(count) {
    let n = Number(count);
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
        if (n < 1024 || unit === "GiB") return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
        n /= 1024;
    }
    return "";
}

export const number = (n) => Number(n).toLocaleString("en-GB");

export function Badge({ kind = "plain", children }) {
    return html`<span class="badge ${kind}">${children}</span>`;
}

export function DeviceLink({ name }) {
    return name ? html`<a href=${link("device", short(name))}>${short(name)}</a>` : html`<span class="dim">–</span>`;
}

/// Characters of a payload that are shown before it is expanded.
const SHORT = 400;

export function Payload({ data, pretty = true }) {
    const [all, setAll] = useState(false);
    const { kind, text, size: length } = decode(data, pretty);
    if (kind === "empty") return html`<span class="dim">empty</span>`;
    const cut = !all && text.length > SHORT;
    return html`<div class="payload"><pre tabindex="0" aria-label="payload">${cut ? `${text.slice(0, SHORT)} …` : text}</pre>
        ${kind === "bytes" && html`<span class="dim">${length} bytes that are no text</span>`}
        ${cut && html`<button class="plain" onClick=${() => setAll(true)}>all ${size(length)}</button>`}</div>`;
}

/// One line of a payload, for lists.
export function inline(data, most = 160) {
    const { kind, text } = decode(data);
    const line = kind === "bytes" ? `bytes ${text}` : text.replace(/\s+/g, " ");
    return line.length > most ? `${line.slice(0, most)} …` : line;
}

/// Names of devices are shown in their short form.
export function Problem({ error }) {
    return error ? html`<p class="problem" role="alert">${(error.message ?? String(error)).replaceAll(`${DEFAULT}/devices/`, "")}</p>` : null;
}

/// `missing`: what is shown beside the error if there is no such thing.
export function Loaded({ of: { data, error: failed }, children, empty, missing }) {
    // The frame shows that the host does not answer.
    const error = failed?.status === 0 ? null : failed;
    if (data === undefined) return error ? html`<${Problem} error=${error} />${error.status === 404 && missing}` : html`<p class="dim" role="status">Loading …</p>`;
    const nothing = empty && empty(data);
    return html`<${Problem} error=${error} />${nothing ? html`<p class="dim">${nothing}</p>` : children(data)}`;
}

/// How far back a list goes for which the host has not searched all of the journal. `of`: its pages.
export function Searched({ of }) {
    const to = of.filter((page) => page?.nextPageToken).map((page) => page.searchedTo).filter(Boolean).sort().at(-1);
    return to ? html`<p class="hint">Searched back to <${Time} at=${to} />; there may be earlier ones.</p>` : null;
}

/// A button that is absent without the scope for it; it is disabled while its action runs, and shows the error of that.
export function Action({ needs = "operate", run, children, kind = "", done, ...rest }) {
    const [busy, setBusy] = useState(false);
    if (!may(needs)) return null;
    const act = async () => {
        setBusy(true);
        try {
            await run();
            if (done) say(done);
        } catch (error) {
            say(error.message, "bad");
        }
        setBusy(false);
    };
    return html`<button type="button" class=${kind} disabled=${busy || rest.disabled} onClick=${act} ...${rest}>${children}</button>`;
}

/// Shows a result or an error for a while.
const said = store([]);
let sayings = 0;

export function say(text, kind = "good") {
    const one = { text, kind, id: ++sayings };
    said.set([...said.get().slice(-3), one]);
    setTimeout(() => said.set(said.get().filter((other) => other !== one)), kind === "bad" ? 12_000 : 5_000);
}

export function Sayings() {
    const all = useStore(said);
    return html`<div class="sayings" role="status" aria-live="polite">${all.map((one) => html`<p key=${one.id} class=${one.kind}>${one.text}</p>`)}</div>`;
}

/// A modal dialog; Escape closes it, and the focus stays in it.
export function Dialog({ title, close, children }) {
    const dialog = useRef();
    const id = useId();
    useLayoutEffect(() => {
        const before = document.activeElement;
        dialog.current.showModal();
        return () => before?.focus?.();
    }, []);
    return html`<dialog ref=${dialog} aria-labelledby=${id} onClose=${close}><div class="cardhead"><h2 id=${id}>${title}</h2>
        <button type="button" class="plain" aria-label="close" onClick=${() => dialog.current.close()}>✕</button></div>${children}</dialog>`;
}

/// A form whose fields are read by their names.
export function Form({ submit, children, label = "OK", needs = "operate", kind = "" }) {
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState(null);
    if (!may(needs)) return null;
    const act = async (event) => {
        event.preventDefault();
        const form = event.target;
        setBusy(true);
        setError(null);
        try {
            await submit(Object.fromEntries(new FormData(form)), form);
        } catch (failed) {
            setError(failed);
        }
        setBusy(false);
    };
    return html`<form class="form ${kind}" onSubmit=${act}>${children}<${Problem} error=${error} /><div class="actions"><button class="main" disabled=${busy}>${label}</button></div></form>`;
}

/// Typed or chosen input stays while the page is redrawn; only another `value` replaces it.
function useValue(value, more) {
    const field = useRef();
    useLayoutEffect(() => {
        if (value !== undefined) field.current.value = value;
    }, [value, more]);
    return field;
}

function Input({ value, ...rest }) {
    return html`<input ref=${useValue(value)} ...${rest} />`;
}

function Select({ value, options, onChange, ...rest }) {
    return html`<select ref=${useValue(value, options.length)} onChange=${(event) => onChange?.(event.target.value)} ...${rest}>${options.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}</select>`;
}

export function Field({ label, hint, children, ...rest }) {
    const id = useId();
    const says = hint ? `${id}-hint` : undefined;
    return html`<div class="field"><label for=${id}>${label}</label>${children ? children(id) : html`<${Input} id=${id} autocomplete="off" aria-describedby=${says} ...${rest} />`}${hint && html`<small id=${says}>${hint}</small>`}</div>`;
}

export function Choice({ label, hint, ...rest }) {
    return html`<${Field} label=${label} hint=${hint}>${(id) => html`<${Select} id=${id} ...${rest} />`}<//>`;
}

/// Asks for confirmation before an action that cannot be undone.
export function Ask({ title, text, label, run, close, needs = "admin" }) {
    return html`<${Dialog} title=${title} close=${close}><p>${text}</p><${Form} needs=${needs} label=${label} kind="danger" submit=${async () => {
        await run();
        close();
    }} /><//>`;
}

/// On a narrow screen a row is a block, and each cell shows the heading of its column, which it has as an attribute.
export function Table({ head, children, label }) {
    const table = useRef();
    useLayoutEffect(() => {
        const titles = [...table.current.tHead.rows[0].cells].map((cell) => cell.textContent);
        for (const row of table.current.tBodies[0].rows) [...row.cells].forEach((cell, n) => {
            if (cell.dataset.head !== titles[n]) cell.dataset.head = titles[n] ?? "";
        });
    });
    return html`<div class="scroll" tabindex="0" role="group" aria-label=${label}><table ref=${table}><thead><tr>${head.map((cell) => (cell === "" ? html`<td></td>` : typeof cell === "string" ? html`<th scope="col">${cell}</th>` : cell))}</tr></thead><tbody>${children}</tbody></table></div>`;
}

/// A text with a button that copies it.
export function Copy({ text, label }) {
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(text);
            say("Copied.");
        } catch {
            say("The browser does not permit copying; select the text instead.", "bad");
        }
    };
    return html`<div class="copy"><pre tabindex="0" aria-label=${label}>${text}</pre><button type="button" class="plain" onClick=${copy}>copy</button></div>`;
}
