// Shared by the list of plugins and the page of one plugin.

import { html } from "./html.js";
import { put } from "./api.js";
import { Badge } from "./parts.js";

export const STATES = { running: "good", disabled: "plain", broken: "bad", "waiting-for-consent": "warn" };

export const State = ({ of }) => html`<${Badge} kind=${STATES[of] ?? "plain"}>${of}<//>`;

export function upload(name, file) {
    return put(`/v1/plugins/${encodeURIComponent(name)}`, file.name.endsWith(".toml") ? "application/toml" : "application/wasm", file);
}
