// The versions of a plugin that have run, and rollback to one of them.

import { html } from "./html.js";
import { call } from "./api.js";
import { useApi } from "./data.js";
import { Differences } from "./plugin_diff.js";
import { Action, Badge, Loaded, Section, Table, Time, say } from "./parts.js";

/// What the guard did to a version. One that cannot go back, because its state cannot, stays in force.
const Failed = ({ of: { stays, time, why } }) => html`<span class="problem">${stays ? "failed its guard" : "rolled back"} <${Time} at=${time} />: ${why}</span>`;
const Before = ({ of: { time, by, rolledBack } }) => html`<div class="dim">before: since <${Time} at=${time} />${by && `, written by ${by}`} ${rolledBack && html`<${Failed} of=${rolledBack} />`}</div>`;

export function Versions({ plugin, done, query }) {
    const { name, digest, rolledBack } = plugin;
    // The files have the version that was rolled back, while the one before it runs.
    const others = rolledBack && !rolledBack.stays;
    const path = `/v1/plugins/${encodeURIComponent(name)}`;
    const list = useApi(`${path}/versions`, { every: 5_000 });
    const back = (one) => async () => {
        await call("POST", `${path}:rollback`, { to: String(one.number) });
        say(`Version ${one.number} was written into the plugin folder; the host loads it now.`);
        list.reload();
        done();
    };
    const row = (one) => html`<tr key=${one.number}><td class="num">${one.number}</td><td><${Time} at=${one.time} /></td><td class="mono" title=${one.digest}>${one.digest.slice(0, 19)}</td><td>${one.component} ${one.version}</td><td>${one.by ?? ""}</td>
        <td>${one.inForce && html`<${Badge} kind="good">in force<//>`} ${one.rolledBack && html`<${Failed} of=${one.rolledBack} />`}${one.earlier?.map((before) => html`<${Before} key=${before.time} of=${before} />`)}</td>
        <td>${(!one.inForce || others) && (one.kept || one.digest === digest || one.component.startsWith("builtin:")) && html`<${Action} needs="admin" run=${back(one)}>${one.inForce ? "write it into the folder" : "roll back to it"}<//>`}</td></tr>`;
    return html`<${Section} title="Versions" key=${digest}><p class="hint">The versions that have run: each is a component with its settings file.</p>
        <${Loaded} of=${list} empty=${(data) => data.versions.length === 0 && "None has run."}>${(data) => html`<${Table} label="Versions, the newest first" head=${[html`<th scope="col" class="num">Version</th>`, "In force since", "Digest", "Component", "Written by", "State", ""]}>${data.versions.map(row)}<//>`}<//><//>
        <${Differences} versions=${list.data?.versions ?? []} query=${query} />`;
}
