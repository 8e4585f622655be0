// Matches devices and events with a plugin's triggers and grants as the API shows them: `telemetry lamp-* light/#`.

import { DEFAULT, parts } from "./names.js";

const escape = (text) => text.replace(/[.+^$()|\\]/g, "\\$&");

/// A glob as a regular expression; `*` and `?` stay within one level.
function glob(pattern) {
    let source = "";
    let group = 0;
    for (let at = 0; at < pattern.length; at += 1) {
        const c = pattern[at];
        if (c === "*") source += "[^/]*";
        else if (c === "?") source += "[^/]";
        else if (c === "{") [source, group] = [`${source}(?:`, group + 1];
        else if (c === "}" && group) [source, group] = [`${source})`, group - 1];
        else if (c === "," && group) source += "|";
        else if (c === "[") {
            const end = pattern.indexOf("]", at + 2);
            if (end < 0) return /$^/;
            source += `[${pattern.slice(at + 1, end).replace(/^!/, "^").replaceAll("\\", "\\\\")}]`;
            at = end;
        } else source += escape(c);
    }
    try {
        return new RegExp(`^${source}$`);
    } catch {
        return /$^/;
    }
}

/// Whether a pattern names the device: its id in the default registry, `registry/id`, or the full name.
export function namesDevice(pattern, name) {
    const { registry, id } = parts(name);
    if (pattern.startsWith("projects/")) return glob(pattern).test(`${registry}/devices/${id}`);
    if (pattern.includes("/")) return glob(pattern).test(`${registry.split("/").at(-1)}/${id}`);
    return registry === DEFAULT && glob(pattern).test(id);
}

/// An MQTT filter; `+` is one level, a final `#` any number.
export function filterTakes(filter, topic) {
    const [wanted, had] = [filter.split("/"), topic.split("/")];
    for (let n = 0; n < wanted.length; n += 1) {
        if (wanted[n] === "#") return true;
        if (n >= had.length || (wanted[n] !== "+" && wanted[n] !== had[n])) return false;
    }
    return wanted.length === had.length;
}

/// Whether a trigger matches an event, as far as the page can tell.
export function takes(trigger, event) {
    const [kind, pattern = "", ...rest] = trigger.split(" ");
    if (kind !== event.kind) return false;
    if (kind === "topic") return filterTakes([pattern, ...rest].join(" "), event.topic ?? "");
    if (kind === "timer") return false;
    if (!event.device || !namesDevice(pattern, event.device)) return false;
    const subfolder = rest.join(" ");
    return !subfolder || filterTakes(subfolder, event.subfolder ?? "") || glob(subfolder).test(event.subfolder ?? "");
}

/// The plugin's triggers and grants that match the device: `[{what, pattern}]`.
export function touches(plugin, name) {
    const found = [];
    for (const trigger of plugin.triggers) {
        const [kind, pattern = ""] = trigger.split(" ");
        if (kind !== "topic" && kind !== "timer" && namesDevice(pattern, name)) found.push({ what: `is triggered by its ${kind}`, pattern: trigger });
    }
    for (const grant of plugin.grantsInForce) {
        const [kind, pattern = ""] = grant.split(" ");
        if (kind !== "publish" && namesDevice(pattern, name)) found.push({ what: { read: "may see it", config: "may set its config", command: "may send it commands", method: "may call its methods" }[kind] ?? kind, pattern: grant });
    }
    return found;
}
