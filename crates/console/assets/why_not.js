// Why plugins had no effects for an event, for each plugin that is installed now.

import { html } from "./html.js";
import { useApi } from "./data.js";
import { link } from "./names.js";
import { Loaded, Section } from "./parts.js";
import { TryAgain } from "./plugin_try.js";
import { matching } from "./triggers.js";

function reason(plugin, event, waits) {
    if (waits) return html`its effects <a href=${link("approvals", "", { plugin: plugin.name })}>wait for an operator's approval</a>: ${waits.why}`;
    if (plugin.state === "disabled") return "it is disabled";
    if (plugin.state === "broken") return `it is broken: ${plugin.lastError ?? "see its page"}`;
    if (plugin.state === "waiting-for-consent") return "it waits for an operator's consent to what it asks for";
    if (plugin.matches.triggers.length === 0) return plugin.triggers.length ? `none of its triggers matches: ${plugin.triggers.join("; ")}` : "it has no trigger";
    const { events } = plugin.counters;
    const denied = plugin.grants.filter((grant) => !plugin.grantsInForce.includes(grant));
    const narrower = denied.length ? ` It asks for ${denied.join("; ")} and was granted ${plugin.grantsInForce.join("; ") || "nothing of that"}: what is outside of that is denied at the call.` : "";
    return `a trigger of it matches, and nothing of it is recorded. Either the event still waits for it, or the plugin or its trigger is newer than the event, or it did nothing and that is no longer kept${events ? "" : "; it has seen no event since the host started"}.${narrower}`;
}

export function WhyNot({ event, branches }) {
    const plugins = useApi(matching(event));
    const approvals = useApi("/v1/approvals");
    const waiting = new Map((approvals.data?.approvals ?? []).map((one) => [one.id, one]));
    const ran = new Set(branches.flatMap((branch) => [branch.execution?.plugin, branch.deadLetter?.plugin]));
    return html`<${Section} title="Plugins without effects"><p class="hint">Plugins that had no effects for this event, by their present triggers.</p>
        <${Loaded} of=${plugins} empty=${(data) => data.plugins.length === 0 && "No plugin is installed, so events have no effects."}>${(data) => {
            const idle = data.plugins.filter((plugin) => !ran.has(plugin.name));
            return idle.length === 0 ? html`<p class="dim">Every plugin handled it.</p>`
                : html`<dl class="facts">${idle.map((plugin) => html`<dt key=${plugin.name}><a href=${link("plugins", plugin.name)}>${plugin.name}</a></dt><dd>${reason(plugin, event, waiting.get(`${event.id}.${plugin.name}`))} ${plugin.state === "running" && html`<${TryAgain} plugin=${plugin.name} event=${event.id} />`}</dd>`)}</dl>`;
        }}<//><//>`;
}
