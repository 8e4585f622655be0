// One device: its properties, events, configs and commands, and its twin.

import { html, useState } from "./html.js";
import { call, tagged, unchangedSince } from "./api.js";
import { reading, useApi } from "./data.js";
import { Commands } from "./device_commands.js";
import { Credentials } from "./device_credentials.js";
import { Files } from "./device_files.js";
import { Gets } from "./device_gets.js";
import { Seen } from "./device_reach.js";
import { Twin } from "./device_twin.js";
import { Metadata } from "./devices.js";
import { EventList } from "./event_row.js";
import { Flow } from "./live.js";
import { beside, devicePath, link, parts } from "./names.js";
import { Action, Ask, Badge, Dialog, Field, Form, Loaded, Page, Searched, Section, Time } from "./parts.js";
import { go } from "./route.js";
import { useFollow } from "./stream.js";
import { matching, touches } from "./triggers.js";

function Facts({ device, name }) {
    const gateway = device.gatewayConfig ?? {};
    const error = device.lastErrorStatus;
    return html`<${Section} title="What it is"><dl class="facts">
        <dt>State</dt><dd>${device.connected ? html`<${Badge} kind="good">connected<//>` : html`<${Badge}>away<//>`} ${device.blocked && html`<${Badge} kind="bad">blocked<//>`}</dd>
        <dt>Number</dt><dd class="mono">${device.numId}</dd><dt>Registered</dt><dd><${Time} at=${device.createTime} /></dd>
        <dt>Last seen</dt><dd><${Seen} of=${device} /></dd><dt>Metadata</dt><dd>${Object.keys(device.metadata ?? {}).length ? html`<${Metadata} of=${device.metadata} />` : html`<span class="dim">none</span>`}</dd>
        ${gateway.gatewayType === "GATEWAY" && html`<dt>Gateway</dt><dd>${gateway.gatewayAuthMethod}</dd>`}
        ${device.attachedGatewayId && html`<dt>Attached to</dt><dd><a href=${link("device", beside(name, device.attachedGatewayId))}>${device.attachedGatewayId}</a></dd>`}
        ${gateway.lastAccessedGatewayId && html`<dt>Last gateway</dt><dd><a href=${link("device", beside(name, gateway.lastAccessedGatewayId))}>${gateway.lastAccessedGatewayId}</a> <${Time} at=${gateway.lastAccessedGatewayTime} /></dd>`}
        ${device.methodEndpoint && html`<dt>Methods go to</dt><dd>${device.methodEndpoint.url}</dd>`}
        ${error && html`<dt>Last error</dt><dd><span class="problem">${error.message}</span> <${Time} at=${device.lastErrorTime} /></dd>`}</dl><//>`;
}

/// Events of the journal that the list of live events begins with, and rows of that list.
const EARLIER = 20;
const SHOWN = 60;

function Tail({ name }) {
    const [paused, setPaused] = useState(false);
    const flow = useFollow(`/v1/events:follow?executions=true&perSecond=40&device=${encodeURIComponent(name)}`, paused);
    const earlier = useApi(`/v1/events?pageSize=${EARLIER}&device=${encodeURIComponent(name)}`);
    const came = new Set(flow.rows.map(({ kind, item }) => kind === "event" && item.id));
    const before = (earlier.data?.events ?? []).filter(({ id }) => !came.has(id)).map((item) => ({ kind: "event", item, key: `before ${item.id}` }));
    const rows = [...flow.rows.slice(0, SHOWN), ...before].slice(0, SHOWN);
    return html`<${Section} title="Events" actions=${html`<button aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? "resume" : "pause"}</button>`}>
        <${Flow} of=${flow} /><p class="hint">Its last events, and what happens from now on with the executions that belong to it.</p>
        ${rows.length === 0 && !earlier.loading && html`<p class="dim">Nothing yet.</p>`}<${EventList} rows=${rows} label="Events of the device, newest first" /><//><${Gets} name=${name} />`;
}

function Log({ name }) {
    const read = (kind) => useApi(`/v1/events?pageSize=50&kind=${kind}&device=${encodeURIComponent(name)}`);
    const [came, went] = [read("connected"), read("disconnected")];
    return html`<${Section} title="Connections"><p class="hint">Those that the journal still has, the newest first.</p><${Loaded} of=${came}>${(data) => {
        const all = [...data.events, ...(went.data?.events ?? [])].sort((a, b) => Number(b.id) - Number(a.id)).slice(0, 50);
        return all.length === 0 ? html`<p class="dim">None is stored.</p>` : html`<${EventList} rows=${all.map((item) => ({ kind: "event", item, key: item.id }))} label="Connections, newest first" />`;
    }}<//><${Searched} of=${[came.data, went.data]} /><//>`;
}

function Rules({ name }) {
    const plugins = useApi(matching({ device: name }));
    return html`<${Section} title="Plugins for this device"><p class="hint">By the triggers and grants in force. A grant need not have been used: <a href=${link("why", name)}>causes of its config</a>.</p><${Loaded} of=${plugins}>${(data) => {
        const found = data.plugins.map((plugin) => ({ plugin, how: touches(plugin) })).filter(({ how }) => how.length);
        return found.length === 0 ? html`<p class="dim">None.</p>` : html`<dl class="facts">${found.map(({ plugin, how }) => html`<dt><a href=${link("plugins", plugin.name)}>${plugin.name}</a> ${plugin.state !== "running" && html`<${Badge} kind="warn">${plugin.state}<//>`}</dt>
            <dd>${how.map(({ what, pattern }) => html`<div>${what} <code>${pattern}</code></div>`)}</dd>`)}</dl>`;
    }}<//><//>`;
}

/// The key and the value of a line, or null.
function pair(line) {
    const at = line.indexOf("=");
    return at < 1 ? null : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

/// Whether one line can hold the key with its value: no line breaks, no spaces at the ends, no comma in the key, which a mask would split.
function fits([key, value]) {
    const line = `${key}=${value}`;
    const [lineKey, lineValue] = pair(line) ?? [];
    return !/[\r\n]/.test(line) && !key.includes(",") && lineKey === key && lineValue === value;
}

function MetadataForm({ read, name, done }) {
    // What the dialog was opened with, also after the device is read again.
    const [{ data, etag }] = useState(read);
    const all = Object.entries(data.metadata ?? {});
    const before = new Map(all.filter(fits));
    const kept = all.filter((one) => !fits(one)).map(([key]) => key);
    const submit = async (fields) => {
        const after = new Map();
        for (const line of fields.metadata.split("\n").filter((one) => one.trim())) {
            const [key, value] = pair(line) ?? [];
            if (!key) throw new Error(`${line}: a line is key=value`);
            if (kept.includes(key)) throw new Error(`${key}: its value cannot be changed here`);
            after.set(key, value);
        }
        const changed = [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key));
        if (changed.length === 0) return done();
        const mask = encodeURIComponent(changed.map((key) => `metadata.${key}`).join(","));
        const metadata = Object.fromEntries(changed.filter((key) => after.has(key)).map((key) => [key, after.get(key)]));
        await call("PATCH", devicePath(name, `?updateMask=${mask}`), { metadata }, unchangedSince(etag));
        return done();
    };
    const text = [...before].map(([key, value]) => `${key}=${value}`).join("\n");
    return html`<${Form} needs="admin" label="Save" submit=${submit}><${Field} label="One key=value per line">${(id) => html`<textarea id=${id} name="metadata" spellcheck="false">${text}</textarea>`}<//>
        ${kept.length > 0 && html`<p class="hint">Not shown, and left as they are, because a line cannot hold them: ${kept.join(", ")}</p>`}<//>`;
}

/// Saves the keys that were changed. The metadata is read with its revision when the dialog is opened.
function EditMetadata({ name, done }) {
    const path = devicePath(name);
    const found = useApi(reading(`metadata of ${path}`, (signal) => tagged(path, signal)));
    return html`<${Dialog} title="Metadata" close=${done}><${Loaded} of=${found}>${(read) => html`<${MetadataForm} read=${read} name=${name} done=${done} />`}<//><//>`;
}

const TABS = [["", "Now"], ["twin", "Desired and reported"], ["send", "Commands and methods"], ["credentials", "Credentials"], ["log", "Connections"], ["files", "Files"], ["rules", "Rules"]];

export function Device({ what: name, query }) {
    const found = useApi(devicePath(name), { every: 5_000 });
    const [dialog, setDialog] = useState("");
    const close = () => {
        setDialog("");
        found.reload();
    };
    const tab = TABS.some(([key]) => key === query.tab) ? query.tab : "";
    const block = (blocked) => async () => {
        await call("PATCH", devicePath(name, "?updateMask=blocked"), { blocked });
        found.reload();
    };
    const actions = found.data && html`<${Action} needs="admin" run=${() => setDialog("metadata")}>metadata<//>
        <${Action} needs="admin" run=${block(!found.data.blocked)}>${found.data.blocked ? "unblock" : "block"}<//><${Action} needs="admin" kind="danger" run=${() => setDialog("delete")}>delete<//>`;
    return html`<${Page} title=${parts(name).id} actions=${actions}><${Loaded} of=${found} missing=${html`<a href="#/devices">All devices</a>`}>${(device) => html`
        <${Facts} device=${device} name=${name} />
        <nav class="tabs" aria-label="Of this device">${TABS.map(([key, title]) => html`<a key=${key} href=${link("device", name, { tab: key })} aria-current=${key === tab ? "page" : undefined}>${title}</a>`)}</nav>
        ${tab === "" && html`<${Tail} name=${name} />`}${tab === "twin" && html`<${Twin} name=${name} />`}${tab === "send" && html`<${Commands} name=${name} />`}
        ${tab === "credentials" && html`<${Credentials} name=${name} device=${device} reload=${found.reload} />`}${tab === "log" && html`<${Log} name=${name} />`}${tab === "files" && html`<${Files} name=${name} query=${query} />`}${tab === "rules" && html`<${Rules} name=${name} />`}
        ${dialog === "metadata" && html`<${EditMetadata} name=${name} done=${close} />`}
        ${dialog === "delete" && html`<${Ask} title=${`Delete ${device.id}?`} text="All of its data is deleted, too. This cannot be undone." label="Delete" close=${() => setDialog("")} run=${async () => {
            await call("DELETE", devicePath(name));
            go("devices");
        }} />`}`}<//><//>`;
}
