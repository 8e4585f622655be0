// What a device gets, also from operators: its newest configs, commands and method calls, and the status of each.

import { html } from "./html.js";
import { useApi } from "./data.js";
import { devicePath, link } from "./names.js";
import { Badge, Loaded, Payload, Searched, Section, Table, Time, span } from "./parts.js";
import { CommandStatus } from "./step.js";

const SHOWN = 20;
const by = (cause) => (cause?.plugin ? html`plugin <a href=${link("plugins", cause.plugin.name)}>${cause.plugin.name}</a>` : (cause?.api?.who ?? ""));

function Answer({ of: { answer, error, tookMs } }) {
    if (!answer) return html`<${Badge} kind="bad">no answer<//> ${error}`;
    return html`<${Badge} kind=${answer.status >= 400 ? "bad" : "good"}>answered ${answer.status}<//> <span class="dim">after ${span(tookMs)}</span> <${Payload} data=${answer.payload} pretty=${false} />`;
}

function rows(name, configs, commands, calls) {
    const ofConfig = (one, n) => {
        const fate = one.deviceAckTime ? html`<${Badge} kind="good">acknowledged<//> <${Time} at=${one.deviceAckTime} />` : n === 0 ? html`<${Badge} kind="warn">not yet acknowledged<//>` : html`<${Badge}>replaced by a newer version<//>`;
        return { at: one.cloudUpdateTime, what: `config ${one.version}`, data: one.binaryData, by: one.cause, fate, why: `${name}@${one.version}` };
    };
    const ofCommand = (one) => ({ at: one.createTime, what: `command${one.subfolder ? ` ${one.subfolder}` : ""}`, data: one.binaryData, by: one.cause, fate: html`<${CommandStatus} status=${one.status} /> <${Time} at=${one.updateTime} />`, why: one.id });
    const ofCall = (one) => ({ at: one.time, what: `method ${one.method}`, data: one.payload, by: one.cause, fate: html`<${Answer} of=${one} />`, why: one.id });
    const all = [...(configs ?? []).map(ofConfig), ...(commands ?? []).map(ofCommand), ...(calls ?? []).map(ofCall)];
    return all.sort((a, b) => Date.parse(b.at) - Date.parse(a.at)).slice(0, SHOWN);
}

export function Gets({ name }) {
    const configs = useApi(devicePath(name, "/configVersions"), { every: 2_000 });
    const commands = useApi(devicePath(name, `/commands?pageSize=${SHOWN}`), { every: 2_000 });
    const calls = useApi(`/v1/methodCalls?pageSize=${SHOWN}&device=${encodeURIComponent(name)}`, { every: 5_000 });
    return html`<${Section} title="Configs, commands and method calls"><p class="hint">The newest ${SHOWN}, also those of operators. Method calls are those that the journal still has.</p>
        <${Loaded} of=${configs}>${({ deviceConfigs }) => {
            const all = rows(name, deviceConfigs, commands.data?.commands, calls.data?.methodCalls);
            return all.length === 0 ? html`<p class="dim">Nothing yet.</p>` : html`<${Table} label="Configs, commands and method calls, newest first" head=${["When", "What", "From", "Payload", "Result", ""]}>
                ${all.map((one) => html`<tr key=${one.why}><td><${Time} at=${one.at} /></td><td>${one.what}</td><td>${by(one.by)}</td><td><${Payload} data=${one.data} pretty=${false} /></td><td>${one.fate}</td><td><a href=${link("why", one.why)}>why?</a></td></tr>`)}<//>`;
        }}<//><${Searched} of=${calls.data?.methodCalls.length < SHOWN ? [calls.data] : []} /><//>`;
}
