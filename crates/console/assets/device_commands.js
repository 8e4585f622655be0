// Commands to a device, with their queue, and method calls.

import { html, useEffect, useState } from "./html.js";
import { call, may } from "./api.js";
import { useApi } from "./data.js";
import { devicePath, link } from "./names.js";
import { encode } from "./payload.js";
import { Action, Badge, Field, Form, Loaded, Payload, Section, Table, Time, say } from "./parts.js";
import { CommandStatus, Times } from "./step.js";

const OPEN = ["queued", "sent"];

/// The status of the last command until it has ended.
function Watched({ name, id }) {
    const [ended, end] = useState(false);
    const found = useApi(devicePath(name, `/commands/${encodeURIComponent(id)}`), { every: ended ? undefined : 1_000 });
    const status = found.data?.status;
    useEffect(() => end(Boolean(status) && !OPEN.includes(status)), [status]);
    return html`<div class="box" role="group" aria-label="The command sent last"><${Loaded} of=${found}>${(one) => html`<div class="top"><strong>${ended ? "It has ended" : "Under way"}</strong> <${CommandStatus} status=${one.status} /> <a href=${link("why", id)}>why?</a></div>
        <${Times} times=${one.times} />${!ended && one.expireTime && html`<span class="dim">It expires <${Time} at=${one.expireTime} />.</span>`}`}<//></div>`;
}

function Send({ name, done }) {
    const [last, setLast] = useState("");
    const submit = async ({ payload, subfolder, ttl }, form) => {
        const sent = await call("POST", devicePath(name, ":sendCommandToDevice"), { binaryData: encode(payload), ...(subfolder && { subfolder }), ...(ttl && { ttl: `${ttl}s` }) });
        say(`Command ${sent.id} was accepted.`);
        setLast(sent.id);
        form.reset();
        done();
    };
    return html`<${Form} label="Send command" submit=${submit}><${Field} label="Command" name="payload" required placeholder="blink" />
        <${Field} label="Sub-folder" name="subfolder" /><${Field} label="Time-to-live, seconds" name="ttl" type="number" min="0" step="any" hint="If empty, the command is sent now or not at all." /><//>${last && html`<${Watched} key=${last} name=${name} id=${last} />`}`;
}

function Method({ name }) {
    const [answer, setAnswer] = useState(null);
    const submit = async ({ method, payload, timeout }) => {
        setAnswer(null);
        setAnswer(await call("POST", devicePath(name, ":invokeMethod"), { method, payload: encode(payload), timeout: `${timeout || 10}s` }));
    };
    return html`<${Form} label="Call" submit=${submit}><${Field} label="Method" name="method" required placeholder="dim" /><${Field} label="Payload" name="payload" placeholder="50" />
        <${Field} label="Timeout, seconds" name="timeout" type="number" min="1" max="300" value="10" /><//>
        ${answer && html`<div role="status"><p>The device answered <${Badge} kind=${answer.status >= 400 ? "bad" : "good"}>${answer.status}<//> <a href=${link("why", answer.id)}>why?</a></p><${Payload} data=${answer.payload} /></div>`}`;
}

function Queue({ list, name }) {
    const cancel = async (command) => {
        await call("DELETE", devicePath(name, `/commands/${encodeURIComponent(command.id)}`));
        list.reload();
    };
    return html`<${Loaded} of=${list} empty=${(data) => !data.commands?.length && "No commands yet."}>${(data) => html`<${Table} label="Commands" head=${["Made", "Command", "Status", "Until", ""]}>${data.commands.map((one) => html`<tr key=${one.id}>
        <td><${Time} at=${one.createTime} /></td><td>${one.subfolder && html`<span class="dim">${one.subfolder}</span>`}<${Payload} data=${one.binaryData} pretty=${false} /></td><td><${CommandStatus} status=${one.status} /> <${Time} at=${one.updateTime} /></td>
        <td>${one.expireTime ? html`<${Time} at=${one.expireTime} />` : "–"}</td><td><a href=${link("why", one.id)}>why?</a> ${OPEN.includes(one.status) && html`<${Action} kind="danger" run=${() => cancel(one)} done="The command was cancelled.">cancel<//>`}</td></tr>`)}<//>`}<//>`;
}

export function Commands({ name }) {
    const list = useApi(devicePath(name, "/commands?pageSize=50"), { every: 2_000 });
    return html`${may("operate") ? html`<div class="columns"><${Section} title="Send a command"><${Send} name=${name} done=${list.reload} /></${Section}><${Section} title="Call a method"><${Method} name=${name} /></${Section}></div>` : html`<p class="hint">This token is read-only.</p>`}
        <${Section} title="Commands, newest first"><${Queue} list=${list} name=${name} /><//>`;
}
