// What a device gets, also from operators: its newest configs and commands, and the status of each.

import { html } from "./html.js";
import { useApi } from "./data.js";
import { devicePath, link } from "./names.js";
import { Badge, Loaded, Payload, Section, Table, Time } from "./parts.js";
import { CommandStatus } from "./step.js";

const SHOWN = 20;
const by = (cause) => (cause?.plugin ? html`plugin <a href=${link("plugins", cause.plugin.name)}>${cause.plugin.name}</a>` : (cause?.api?.who ?? ""));

function rows(name, configs, commands) {
    const ofConfig = (one, n) => {
        const fate = one.deviceAckTime ? html`<${Badge} kind="good">acknowledged<//> <${Time} at=${one.deviceAckTime} />` : n === 0 ? html`<${Badge} kind="warn">not yet acknowledged<//>` : html`<${Badge}>replaced by a newer version<//>`;
        return { at: one.cloudUpdateTime, what: `config ${one.version}`, data: one.binaryData, by: one.cause, fate, why: `${name}@${one.version}` };
    };
    const ofCommand = (one) => ({ at: one.createTime, what: `command${one.subfolder ? ` ${one.subfolder}` : ""}`, data: one.binaryData, by: one.cause, fate: html`<${CommandStatus} status=${one.status} /> <${Time} at=${one.updateTime} />`, why: one.id });
    const all = [...(configs ?? []).map(ofConfig), ...(commands ?? []).map(ofCommand)];
    return all.sort((a, b) => Date.parse(b.at) - Date.parse(a.at)).slice(0, SHOWN);
}

export function Gets({ name }) {
    const configs = useApi(devicePath(name, "/configVersions"), { every: 2_000 });
    const commands = useApi(devicePath(name, `/commands?pageSize=${SHOWN}`), { every: 2_000 });
    return html`<${Section} title="Configs and commands"><p class="hint">The newest ${SHOWN} of its configs and commands, also those of operators.</p>
        <${Loaded} of=${configs}>${({ deviceConfigs }) => {
            const all = rows(name, deviceConfigs, commands.data?.commands);
            return all.length === 0 ? html`<p class="dim">Nothing yet.</p>` : html`<${Table} label="Configs and commands, newest first" head=${["When", "What", "From", "Payload", "What became of it", ""]}>
                ${all.map((one) => html`<tr key=${one.why}><td><${Time} at=${one.at} /></td><td>${one.what}</td><td>${by(one.by)}</td><td><${Payload} data=${one.data} pretty=${false} /></td><td>${one.fate}</td><td><a href=${link("why", one.why)}>why?</a></td></tr>`)}<//>`;
        }}<//><//>`;
}
