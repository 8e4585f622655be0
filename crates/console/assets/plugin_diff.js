// The differences between two versions of a plugin: component, settings file, triggers, grants and imports.

import { html } from "./html.js";
import { Badge, Choice, Section } from "./parts.js";
import { filter } from "./route.js";

/// Lines of a settings file that are compared; longer ones are shown as a whole.
const MOST_LINES = 400;

/// `[{sign, text}]`: the lines of both texts in order, by their longest common subsequence.
export function lineDiff(before, after) {
    const [a, b] = [before, after].map((text) => text.replace(/\r?\n$/, "").split(/\r?\n/));
    if (a.length > MOST_LINES || b.length > MOST_LINES) return [...a.map((text) => ({ sign: "-", text })), ...b.map((text) => ({ sign: "+", text }))];
    const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i -= 1) for (let j = b.length - 1; j >= 0; j -= 1) common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    const lines = [];
    let [i, j] = [0, 0];
    while (i < a.length || j < b.length) {
        if (i < a.length && j < b.length && a[i] === b[j]) {
            lines.push({ sign: " ", text: a[i] });
            i += 1;
            j += 1;
        } else if (j >= b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) lines.push({ sign: "-", text: a[i++] });
        else lines.push({ sign: "+", text: b[j++] });
    }
    return lines;
}

const LISTS = [["triggers", "Triggers"], ["grants", "Grants asked for"], ["grantsInForce", "Grants in force"], ["imports", "Imports"]];

function Line({ sign, text }) {
    const line = `${sign} ${text}\n`;
    return sign === "+" ? html`<ins>${line}</ins>` : sign === "-" ? html`<del>${line}</del>` : line;
}

function List({ before, after }) {
    const changed = [...before.filter((one) => !after.includes(one)).map((text) => ({ sign: "-", text })), ...after.filter((one) => !before.includes(one)).map((text) => ({ sign: "+", text }))];
    return changed.length === 0 ? html`<span class="dim">the same</span>` : html`<pre tabindex="0" aria-label="changed entries">${changed.map((one) => html`<${Line} ...${one} />`)}</pre>`;
}

function Between({ before, after }) {
    const settings = before.settings === after.settings ? null : lineDiff(before.settings, after.settings);
    return html`<dl class="facts"><dt>Component</dt><dd>${before.digest === after.digest ? html`<span class="dim">the same</span>` : html`<${Badge} kind="warn">another<//> <span class="mono">${before.digest.slice(0, 19)} → ${after.digest.slice(0, 19)}</span> ${before.version !== after.version && `version ${before.version} → ${after.version}`}`}</dd>
        ${LISTS.map(([key, title]) => html`<dt key=${key}>${title}</dt><dd><${List} before=${before[key]} after=${after[key]} /></dd>`)}
        <dt>Settings file</dt><dd>${settings ? html`<pre tabindex="0" aria-label="differences of the settings files">${settings.map((one) => html`<${Line} ...${one} />`)}</pre>` : html`<span class="dim">the same</span>`}</dd></dl>`;
}

/// The chosen versions are in the address. Without a choice: the version in force and the one before it.
export function Differences({ versions, query }) {
    if (versions.length < 2) return null;
    const find = (number) => versions.find((one) => String(one.number) === number);
    const after = find(query.b) ?? versions.find((one) => one.inForce) ?? versions[0];
    const before = find(query.a) ?? versions.find((one) => one !== after);
    const options = versions.map((one) => [String(one.number), `${one.number}${one.inForce ? " (in force)" : ""}`]);
    return html`<${Section} title="Differences"><div class="filters"><${Choice} label="From version" value=${String(before.number)} options=${options} onChange=${(a) => filter({ a })} />
        <${Choice} label="to version" value=${String(after.number)} options=${options} onChange=${(b) => filter({ b })} /></div>
        ${before === after ? html`<p class="dim">The same version.</p>` : html`<${Between} before=${before} after=${after} />`}<//>`;
}
