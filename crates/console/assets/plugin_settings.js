// The settings of a plugin as a form: fields with titles, bounds, choices and help where its component has a schema, and else made
// from its default settings, a field for each, of the kind that the default has.

import { html } from "./html.js";
import { call, may } from "./api.js";
import { Choice, Field, Form, Section, say } from "./parts.js";

const parsed = (text) => {
    try {
        return JSON.parse(text || "{}");
    } catch {
        return {};
    }
};

/// `text`, `number`, `flag`, or `json` for everything else.
function kindOf(value) {
    if (typeof value === "string") return "text";
    if (typeof value === "number") return "number";
    return typeof value === "boolean" ? "flag" : "json";
}

function read(kind, entered, name) {
    if (kind === "flag") return entered === "on";
    if (kind === "text") return entered;
    if (kind === "number") {
        const value = Number(entered);
        if (entered.trim() === "" || !Number.isFinite(value)) throw new Error(`${name} is a number`);
        return value;
    }
    try {
        return JSON.parse(entered);
    } catch {
        throw new Error(`${name} is JSON`);
    }
}

/// The merge patch (RFC 7396) that makes `now` of `before`: what is no longer in an object is null.
function patchTo(before, now) {
    const object = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
    if (!object(before) || !object(now)) return now;
    const gone = Object.keys(before).filter((key) => !(key in now)).map((key) => [key, null]);
    return Object.fromEntries([...gone, ...Object.entries(now).map(([key, value]) => [key, patchTo(before[key], value)])]);
}

/// The bounds of a number or a text, in words.
function bounds({ kind, least, most, whole }) {
    const of = kind === "text" ? " characters" : whole ? ", whole" : "";
    if (kind === "text" && most == null) return least > 1 ? `At least ${least} characters. ` : least ? "Not empty. " : "";
    if (least != null && most != null) return `${least} to ${most}${of}. `;
    if (most != null) return `At most ${most}${of}. `;
    return least != null ? `At least ${least}${of}. ` : "";
}

/// A field of the schema; both the browser and the host check the bounds.
function Described({ name, of, value, fallback, disabled }) {
    const hint = `${of.help ? `${of.help} ` : ""}${bounds(of)}Default: ${JSON.stringify(fallback)}`;
    const { least, most } = of;
    if (of.kind === "flag") return html`<label class="check"><input type="checkbox" name=${name} defaultChecked=${value} disabled=${disabled} /> ${of.title} <small>${hint}</small></label>`;
    if (of.kind === "choice") return html`<${Choice} label=${of.title} hint=${hint} name=${name} value=${value} options=${of.choices.map((one) => [one, one])} disabled=${disabled} />`;
    const held = of.kind === "number" ? { type: "number", min: least, max: most, step: of.whole ? 1 : "any" } : { minlength: least || undefined, maxlength: most, required: least > 0 };
    return html`<${Field} label=${of.title} hint=${hint} name=${name} value=${value} disabled=${disabled} required=${of.kind === "number"} ...${held} />`;
}

function One({ name, kind, of, value, fallback, disabled }) {
    if (of) return html`<${Described} name=${name} of=${of} value=${value} fallback=${fallback} disabled=${disabled} />`;
    const hint = fallback === undefined ? "Not among the component's default settings." : `Default: ${JSON.stringify(fallback)}`;
    if (kind === "flag") return html`<label class="check"><input type="checkbox" name=${name} defaultChecked=${value} disabled=${disabled} /> ${name} <small>${hint}</small></label>`;
    if (kind === "json") return html`<${Field} label=${`${name} (JSON)`} hint=${hint}>${(id) => html`<textarea id=${id} name=${name} disabled=${disabled} spellcheck="false">${JSON.stringify(value, null, 2)}</textarea>`}<//>`;
    return html`<${Field} label=${name} hint=${hint} name=${name} type=${kind} step="any" value=${value} disabled=${disabled} />`;
}

export function Settings({ plugin, done }) {
    const [defaults, given] = [parsed(plugin.defaultSettings), parsed(plugin.settings)];
    const schema = new Map((plugin.settingsSchema ?? []).map((field) => [field.name, field]));
    const names = [...new Set([...schema.keys(), ...Object.keys(defaults), ...Object.keys(given)])];
    const fields = names.map((name) => {
        const value = given[name] ?? defaults[name];
        return { name, value, of: schema.get(name), fallback: defaults[name], kind: kindOf(defaults[name] ?? given[name]) };
    });
    const submit = async (entered) => {
        const settings = {};
        for (const { name, kind, value, fallback } of fields) {
            const now = read(kind, entered[name] ?? "", name);
            if (JSON.stringify(now) === JSON.stringify(value)) continue;
            // The default value is not written into the file.
            settings[name] = JSON.stringify(now) === JSON.stringify(fallback) ? null : patchTo(given[name], now);
        }
        if (Object.keys(settings).length === 0) return say("Nothing was changed.");
        await call("PATCH", `/v1/plugins/${encodeURIComponent(plugin.name)}`, { settings });
        say("The settings file was changed; the host loads it now.");
        return done();
    };
    const all = fields.map((field) => html`<${One} key=${field.name} ...${field} disabled=${!may("admin")} />`);
    return html`<${Section} title="Settings">${fields.length === 0 ? html`<p class="dim">${plugin.state === "running" ? "It has none." : "Its component is not loaded, so its settings are not known."}</p>`
        : may("admin") ? html`<${Form} needs="admin" label="Save" submit=${submit}>${all}<//>` : html`<div class="form">${all}</div>`}
        ${fields.length > 0 && may("admin") && html`<p class="hint">They are written into the plugin's settings file; its comments are lost. Triggers, grants and limits stay.</p>`}<//>`;
}
