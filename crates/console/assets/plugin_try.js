// Tries a plugin on an event that the user enters, and shows its effects. The host does not carry them out.

import { html, useState } from "./html.js";
import { call } from "./api.js";
import { Action, Badge, Choice, Field, Form, Section, Table, number } from "./parts.js";

const KINDS = [["telemetry", "telemetry of a device"], ["state", "reported state of a device"], ["topic", "message on an ordinary topic"], ["timer", "timer that fired"]];

function event({ kind, from, payload }) {
    const event = { timeMs: Date.now() };
    if (kind === "topic") return { ...event, data: { topic: { topic: from, payload } } };
    if (kind === "timer") return { ...event, data: { timer: { name: from, payload } } };
    return { ...event, device: from, data: { [kind]: { payload } } };
}

// An effect or a call is one name with its fields; a payload is text, or an object with its bytes.
function shown(fields) {
    return Object.entries(fields).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join("\n");
}

function Lines({ label, head, rows }) {
    return rows.length > 0 && html`<${Table} label=${label} head=${head}>${rows.map(([name, text], at) => html`<tr key=${at}><td><code>${name}</code></td><td><pre tabindex="0" aria-label=${name}>${text}</pre></td></tr>`)}<//>`;
}

/// Effects in the format of recordings, as a table.
export function Effects({ label, of }) {
    return html`<${Lines} label=${label} head=${["Effect", "What"]} rows=${of.flatMap((effect) => Object.entries(effect)).map(([name, fields]) => [name, shown(fields)])} />`;
}

function Answer({ of }) {
    const calls = of.calls.map(({ call: name, ...fields }) => [name, shown(fields)]);
    return html`<div role="status"><p>Result: <${Badge} kind=${of.outcome === "done" ? "good" : "bad"}>${of.outcome}<//> ${of.reason ?? ""} ${!of.triggered && html`<${Badge} kind="warn">its triggers do not match this event<//>`} ${!of.registered && html`<${Badge} kind="warn">the device is not registered<//>`} ${of.approval && html`<${Badge} kind="warn">the effects would wait for approval<//> ${of.approval}`}</p>
        ${of.effects.length === 0 && html`<p class="dim">No effects.</p>`}<${Effects} label="Effects that were not carried out" of=${of.effects} />
        <${Lines} label="Calls of the host" head=${["Call", "Call and result"]} rows=${calls} />
        ${of.logs.length > 0 && html`<pre tabindex="0" aria-label="log lines of the try">${of.logs.join("\n")}</pre>`}
        <p class="hint">${number(of.guestMicros)} µs, ${number(Math.round(of.memoryBytes / 1024))} KiB of memory. Grants used: ${of.grantsUsed.join(", ") || "none"}. Grants denied: ${of.grantsDenied.join(", ") || "none"}.${of.limitsHit.length > 0 && ` Limits hit: ${of.limitsHit.join(", ")}.`}</p></div>`;
}

/// Tries the plugin in force on an event of the journal: which grants would be denied, and why it has no effects.
export function TryAgain({ plugin, event }) {
    const [answer, setAnswer] = useState(null);
    const run = async () => setAnswer(await call("POST", `/v1/plugins/${encodeURIComponent(plugin)}:try`, { eventNumber: event }));
    return html`<div><${Action} needs="admin" kind="plain" run=${run}>try it on this event<//>${answer && html`<${Answer} of=${answer} />`}</div>`;
}

export function Try({ name }) {
    const [answer, setAnswer] = useState(null);
    const submit = async (entered) => {
        setAnswer(null);
        setAnswer(await call("POST", `/v1/plugins/${encodeURIComponent(name)}:try`, { event: event(entered) }));
    };
    return html`<${Section} title="Try it"><p class="hint">The plugin handles this event in a separate instance. It reads real data; none of its effects are carried out.</p>
        <${Form} needs="admin" label="Try" submit=${submit}><${Choice} label="Event" name="kind" value="telemetry" options=${KINDS} /><${Field} label="Device, topic or name of the timer" name="from" required placeholder="switch-1" />
        <${Field} label="Data">${(id) => html`<textarea id=${id} name="payload" spellcheck="false"></textarea>`}<//><//>${answer && html`<${Answer} of=${answer} />`}<//>`;
}
