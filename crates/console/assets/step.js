// One step of an explanation, as a box.

import { html } from "./html.js";
import { Reach } from "./device_reach.js";
import { link } from "./names.js";
import { Badge, DeviceLink, Payload, clock, span } from "./parts.js";
import { TryAgain } from "./plugin_try.js";
import { says } from "./event_row.js";

const kindOf = (step) => Object.keys(step ?? {}).find((key) => key !== "branches");

/// The time of the step, if it has one.
export function timeOf(step) {
    const what = step?.[kindOf(step)];
    return what?.time ?? what?.cloudUpdateTime ?? what?.createTime;
}

function Box({ kind = "", top, at, children }) {
    return html`<div class="box ${kind}"><div class="top">${top}${at && html`<span class="dim mono" title=${at}>${clock(at)}</span>`}</div>${children}</div>`;
}

const WAITS = "waits for the device";
const FATES = { acknowledged: ["good", "acknowledged"], waiting: ["warn", WAITS], superseded: ["plain", "replaced by a newer version before it was acknowledged"] };
const COMMANDS = { acknowledged: "good", queued: "warn", sent: "warn", expired: "bad", rejected: "bad", purged: "bad", "sent-unconfirmed": "warn" };
const ENDS = { queued: WAITS, expired: "expired: its time-to-live was over before the device took it", rejected: "the device refused it, or it was too large", purged: "an operator removed it", "sent-unconfirmed": "sent; the device cannot acknowledge it" };

export const CommandStatus = ({ status }) => html`<${Badge} kind=${COMMANDS[status] ?? "plain"}>${ENDS[status] ?? status}<//>`;

/// In the order in which they happened; several may have the same millisecond.
const FIRST = ["queued", "sent"];
const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);

export function Times({ times }) {
    const all = Object.entries(times).sort(([a, at], [b, then]) => Date.parse(at) - Date.parse(then) || rank(a) - rank(b));
    return html`<span class="after">${all.map(([name, at]) => `${name} ${clock(at)}`).join(" → ")}</span>`;
}

function Event({ event }) {
    const id = html`<a href=${link("why", event.id)}>event ${event.id}</a>`;
    return html`<${Box} top=${html`<strong>${event.device ? html`<${DeviceLink} name=${event.device} />` : event.plugin ?? event.topic ?? "the host"}</strong> <${Badge}>${event.kind}<//> ${id}`} at=${event.time}>
        ${event.binaryData !== undefined && ["telemetry", "state", "topic"].includes(event.kind) ? html`${(event.subfolder || event.topic) && html`<span class="dim">${event.subfolder || event.topic}</span>`}<${Payload} data=${event.binaryData} />` : html`<span>${says(event)}</span>`}
        ${event.durable === false && ["telemetry", "state", "topic"].includes(event.kind) && html`<span class="dim">sent with QoS 0: kept without waiting for the disk</span>`}<//>`;
}

function Logs({ lines }) {
    return lines?.length ? html`<pre tabindex="0" aria-label="log lines">${lines.join("\n")}</pre>` : null;
}

function Execution({ execution: of }) {
    const failed = of.outcome === "dead";
    const took = of.tookUs === undefined ? "" : of.tookUs < 1_000 ? `${of.tookUs} µs` : `${(of.tookUs / 1_000).toFixed(1)} ms`;
    return html`<${Box} kind=${failed ? "bad" : "plugin"} at=${of.time} top=${html`<strong>plugin <a href=${link("plugins", of.plugin)}>${of.plugin}</a></strong>
        <span class="dim mono" title=${of.digest}>${of.digest.slice(0, 19)}</span> ${of.canary && html`<${Badge} kind="warn">canary<//>`} ${took && html`<span class="dim">${took}</span>`} ${of.attempt > 1 && html`<${Badge} kind="warn">attempt ${of.attempt}<//>`}`}>
        ${failed && html`<span class="problem">${of.error}</span>`}<${Logs} lines=${of.logs} />
        ${of.outcome === "done" && of.effects?.length === 0 && html`<span class="dim">It had no effects for this event.</span>`}
        ${(failed || of.effects?.length === 0) && html`<${TryAgain} plugin=${of.plugin} event=${of.event} />`}
        ${of.outcome === undefined && html`<span class="dim">Only the fact that it ran is still stored.</span>`}<//>`;
}

function Config({ config: of }) {
    if (of.version === "0") return html`<${Box} kind="effect" top=${html`<strong>config of <${DeviceLink} name=${of.device} /></strong>`}><span class="dim">The patch changed nothing, so no version was made.</span><//>`;
    const [kind, text] = FATES[of.fate] ?? ["plain", of.fate];
    return html`<${Box} kind="effect" at=${of.cloudUpdateTime} top=${html`<strong><a href=${link("why", `${of.device}@${of.version}`)}>config version ${of.version}</a> of <${DeviceLink} name=${of.device} /></strong> <${Badge} kind=${kind}>${text}<//>`}>
        ${of.unchanged && html`<span class="dim">The same bytes as before: nothing was sent.</span>`}<${Payload} data=${of.binaryData} />
        ${of.fate === "waiting" && html`<${Reach} name=${of.device} made=${of.cloudUpdateTime} />`}
        ${of.deviceAckTime && html`<span class="after">sent → acknowledged ${span(Date.parse(of.deviceAckTime) - Date.parse(of.cloudUpdateTime))} later, at ${clock(of.deviceAckTime)}</span>`}<//>`;
}

function Command({ command: of }) {
    return html`<${Box} kind=${COMMANDS[of.status] === "bad" ? "bad" : "effect"} at=${of.createTime} top=${html`<strong><a href=${link("why", of.id)}>command</a> to <${DeviceLink} name=${of.device} /></strong> <${CommandStatus} status=${of.status} />`}>
        ${of.subfolder && html`<span class="dim">${of.subfolder}</span>`}<${Payload} data=${of.binaryData} /><${Times} times=${of.times} />${["queued", "sent"].includes(of.status) && html`<${Reach} name=${of.device} />`}<//>`;
}

function Call({ methodCall: of }) {
    return html`<${Box} kind=${of.error ? "bad" : "effect"} at=${of.time} top=${html`<strong>method ${of.method} of <${DeviceLink} name=${of.device} /></strong> <span class="dim">${of.tookMs} ms</span>`}>
        <${Payload} data=${of.payload} />${of.error ? html`<span class="problem">${typeof of.error === "string" ? of.error : JSON.stringify(of.error)}</span>` : html`<span>answered ${of.answer?.status}</span><${Payload} data=${of.answer?.payload} />`}<//>`;
}

function Gone({ gone }) {
    const what = gone.kind ? `${gone.kind}${gone.id ? ` ${gone.id}` : ""}${gone.event ? ` of event ${gone.event}` : ""}` : `event ${gone.event}`;
    return html`<${Box} top=${html`<strong>${what}</strong>`}><span class="dim">No longer stored: it is older than the journal, or its device was deleted.</span><//>`;
}

const BOXES = {
    event: Event, execution: Execution, config: Config, command: Command, methodCall: Call, gone: Gone,
    operator: ({ operator }) => html`<${Box} top=${html`<strong>an operator</strong>`}><span>${operator.who}, through the API</span><//>`,
    heldBack: ({ heldBack }) => html`<${Box} kind="bad" top=${html`<strong>held back for ${heldBack.ms} ms</strong>`}><span>${heldBack.why}</span><//>`,
    waitsForApproval: ({ waitsForApproval: of }) => html`<${Box} kind="bad" at=${of.since} top=${html`<strong>${of.effectCount} effects of ${of.id} wait for approval</strong>`}><span>${of.why}</span><//>`,
    state: ({ state }) => html`<${Box} kind="effect" top=${html`<strong>the plugin's own state</strong>`}><span>${state.key} ${state.deleted ? "deleted" : `revision ${state.revision}`}</span><//>`,
    timer: ({ timer }) => html`<${Box} kind="effect" top=${html`<strong>timer ${timer.name}</strong>`}><span>${timer.cancelled ? "cancelled" : `due ${timer.dueTime}`}</span><//>`,
    publish: ({ publish }) => html`<${Box} kind="effect" top=${html`<strong>published on ${publish.topic}</strong>`}><${Payload} data=${publish.binaryData} /><//>`,
    deadLetter: ({ deadLetter }) => html`<${Box} kind="bad" at=${deadLetter.time} top=${html`<strong><a href=${link("dead-letters", deadLetter.id)}>dead letter ${deadLetter.id}</a></strong> plugin ${deadLetter.plugin}`}><span class="problem">${deadLetter.error}</span><${Logs} lines=${deadLetter.logs} /><//>`,
    refused: () => html`<${Box} kind="bad" top=${html`<strong>refused</strong>`}><span>The host refused all effects of this execution; none was committed.</span><//>`,
    earlier: () => html`<${Box} top=${html`<strong>…</strong>`}><span class="dim">The chain has earlier causes that are not shown.</span><//>`,
};

export function Step({ step }) {
    const kind = kindOf(step);
    const Known = BOXES[kind];
    return Known ? html`<${Known} ...${step} />` : html`<${Box} top=${html`<strong>${kind}</strong>`}><pre tabindex="0">${JSON.stringify(step[kind])}</pre><//>`;
}
