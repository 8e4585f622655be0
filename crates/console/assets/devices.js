// All devices, one page at a time. The host searches and filters, so the page stays fast with ten thousand devices.

import { html, useEffect, useRef, useState } from "./html.js";
import { call, may } from "./api.js";
import { useApi } from "./data.js";
import { CreateDevice } from "./create_device.js";
import { Seen } from "./device_reach.js";
import { Registry } from "./gateways.js";
import { DEFAULT, devicePath, link, registryPath } from "./names.js";
import { Action, Ask, Badge, Choice, Dialog, Field, Form, Loaded, Page, Section, Table, say } from "./parts.js";
import { filter } from "./route.js";

const PAGE = 50;
const FIELDS = "id,name,connected,blocked,metadata,gatewayConfig,lastEventTime,lastHeartbeatTime,lastStateTime,lastConfigAckTime";
/// Concurrent calls of a bulk change.
const BESIDE = 6;

const SEEN = [["", "any time"], ["3600", "in the last hour"], ["86400", "in the last day"], ["604800", "in the last week"], ["-86400", "not for a day"], ["-604800", "not for a week"]];
const EITHER = (yes, no) => [["", "all"], ["true", yes], ["false", no]];

function address(registry, query) {
    const params = new URLSearchParams({ pageSize: PAGE, fieldMask: FIELDS });
    for (const name of ["search", "connected", "blocked", "differs", "metadata"]) if (query[name]) params.set(name, query[name]);
    if (query.gateway) params.set("gatewayListOptions.gatewayType", query.gateway);
    if (query.seen) params.set(query.seen < 0 ? "seenBefore" : "seenSince", new Date(Math.floor(Date.now() / 60_000) * 60_000 - Math.abs(query.seen) * 1_000).toISOString());
    if (query.after) params.set("pageToken", query.after);
    return registryPath(registry, `/devices?${params}`);
}

/// Filters in the address, besides the registry.
const FILTERS = ["search", "connected", "blocked", "differs", "metadata", "gateway", "seen"];

function Filters({ registry, query }) {
    const set = (name) => (value) => filter({ [name]: value, after: "" });
    const [search, setSearch] = useState(query.search ?? "");
    const waits = useRef();
    useEffect(() => setSearch(query.search ?? ""), [query.search]);
    const type = (event) => {
        const text = event.target.value;
        setSearch(text);
        clearTimeout(waits.current);
        waits.current = setTimeout(() => filter({ search: text, after: "" }, { replace: true }), 250);
    };
    return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
        <${Field} label="Search ids, metadata" type="search" value=${search} onInput=${type} />
        <${Choice} label="Connected" value=${query.connected ?? ""} options=${EITHER("connected", "not connected")} onChange=${set("connected")} />
        <${Choice} label="Desired and reported" value=${query.differs ?? ""} options=${EITHER("differ", "agree")} onChange=${set("differs")} />
        <${Choice} label="Blocked" value=${query.blocked ?? ""} options=${EITHER("blocked", "not blocked")} onChange=${set("blocked")} />
        <${Choice} label="Kind" value=${query.gateway ?? ""} options=${[["", "all"], ["GATEWAY", "gateways"], ["NON_GATEWAY", "no gateways"]]} onChange=${set("gateway")} />
        <${Choice} label="Last seen" value=${query.seen ?? ""} options=${SEEN} onChange=${set("seen")} />
        <${Field} label="Metadata" placeholder="room=hall" value=${query.metadata ?? ""} onChange=${(event) => set("metadata")(event.target.value.trim())} />
        <${Registry} registry=${registry} change=${set("registry")} /></form>`;
}

export function Metadata({ of }) {
    const pairs = Object.entries(of ?? {});
    return html`${pairs.slice(0, 4).map(([key, value]) => html`<${Badge} key=${key}>${key}=${value.slice(0, 40)}<//> `)}${pairs.length > 4 && html`<span class="dim">and ${pairs.length - 4} more</span>`}`;
}

function Row({ device, picked, pick }) {
    return html`<tr class=${picked ? "picked" : ""}>
        ${may("admin") && html`<td><input type="checkbox" checked=${picked} aria-label=${`pick ${device.id}`} onChange=${() => pick(device)} /></td>`}
        <td><a href=${link("device", device.name.startsWith(`${DEFAULT}/`) ? device.id : device.name)}>${device.id}</a></td>
        <td>${device.connected ? html`<${Badge} kind="good">connected<//>` : html`<${Badge}>away<//>`} ${device.blocked && html`<${Badge} kind="bad">blocked<//>`} ${device.gatewayConfig?.gatewayType === "GATEWAY" && html`<${Badge}>gateway<//>`}</td>
        <td><${Seen} of=${device} /></td><td><${Metadata} of=${device.metadata} /></td></tr>`;
}

/// Does the same for many devices; reports the failures.
async function each(devices, what, tell) {
    const left = [...devices];
    const failed = [];
    let done = 0;
    const one = async () => {
        for (let device = left.shift(); device; device = left.shift()) {
            try {
                await what(device);
                done += 1;
            } catch (error) {
                failed.push(`${device.id}: ${error.message}`);
            }
            tell(`${done + failed.length} of ${devices.length}`);
        }
    };
    await Promise.all(Array.from({ length: BESIDE }, one));
    if (done) say(`Done for ${done} ${done === 1 ? "device" : "devices"}.`);
    if (failed.length) say(`Failed for ${failed.length}: ${failed.slice(0, 5).join("; ")}`, "bad");
}

function Bulk({ picked, done }) {
    const [ask, setAsk] = useState(null);
    const [progress, tell] = useState("");
    const run = async (what) => {
        await each([...picked.values()], what, tell);
        tell("");
        setAsk(null);
        done();
    };
    const block = (blocked) => run((device) => call("PATCH", devicePath(device.name, "?updateMask=blocked"), { blocked }));
    const setMetadata = ({ key, value }) => {
        if (!/^[a-zA-Z][-a-zA-Z0-9._+~%]*$/.test(key)) throw new Error("a key begins with a letter, and has letters, digits and -._+~% only");
        return run((device) => call("PATCH", devicePath(device.name, `?updateMask=${encodeURIComponent(`metadata.${key}`)}`), { metadata: value ? { [key]: value } : {} }));
    };
    if (!picked.size) return null;
    return html`<div class="actions" role="group" aria-label="With the selected devices"><strong>${picked.size} picked</strong>
        <${Action} needs="admin" run=${() => block(true)}>block<//><${Action} needs="admin" run=${() => block(false)}>unblock<//>
        <${Action} needs="admin" run=${() => setAsk("metadata")}>set metadata<//><${Action} needs="admin" kind="danger" run=${() => setAsk("delete")}>delete<//>
        <button class="plain" onClick=${done}>clear the selection</button><span role="status">${progress}</span>
        ${ask === "delete" && html`<${Ask} title=${`Delete ${picked.size} ${picked.size === 1 ? "device" : "devices"}?`} text="Their credentials, configs, states and commands are deleted, too. This cannot be undone." label="Delete" close=${() => setAsk(null)} run=${() => run((device) => call("DELETE", devicePath(device.name)))} />`}
        ${ask === "metadata" && html`<${Dialog} title="Set metadata" close=${() => setAsk(null)}><${Form} needs="admin" label="Set" submit=${setMetadata}>
            <${Field} label="Key" name="key" required /><${Field} label="Value" name="value" hint="An empty value removes the key." /><//><//>`}</div>`;
}

export function Devices({ query }) {
    const registry = query.registry || DEFAULT;
    const list = useApi(address(registry, query), { every: 10_000 });
    const [picked, setPicked] = useState(new Map());
    const [creating, setCreating] = useState(false);
    const devices = list.data?.devices ?? [];
    const pick = (device) => {
        const next = new Map(picked);
        if (!next.delete(device.name)) next.set(device.name, device);
        setPicked(next);
    };
    const all = devices.length > 0 && devices.every((device) => picked.has(device.name));
    const pickAll = () => setPicked(all ? new Map() : new Map([...picked, ...devices.map((device) => [device.name, device])]));
    const head = ["Device", "State", "Last seen", "Metadata"];
    if (may("admin")) head.unshift(html`<th scope="col"><input type="checkbox" aria-label="Select all on this page" checked=${all} onChange=${pickAll} /></th>`);
    const actions = html`<${Action} needs="admin" kind="main" run=${() => setCreating(true)}>New device<//>`;
    return html`<${Page} title="Devices" actions=${actions}><${Section} title="Find"><${Filters} registry=${registry} query=${query} /><//>
        <section class="card" aria-label="Devices found"><${Bulk} picked=${picked} done=${() => {
            setPicked(new Map());
            list.reload();
        }} />
        <${Loaded} of=${list} empty=${(data) => !data.devices?.length && (query.after ? "No more devices." : FILTERS.some((name) => query[name]) ? "No device matches." : html`No devices are registered yet.${may("admin") && " New device registers one."} While enrolment is open, a device registers itself when it connects.`)}>${() => html`<${Table} label="Devices" head=${head}>
            ${devices.map((device) => html`<${Row} key=${device.name} device=${device} picked=${picked.has(device.name)} pick=${pick} />`)}<//>`}<//>
        <div class="actions">${query.after && html`<button onClick=${() => filter({ after: "" })}>first page</button><button onClick=${() => history.back()}>back</button>`}
            ${list.data?.nextPageToken && html`<button onClick=${() => filter({ after: list.data.nextPageToken })}>next ${PAGE}</button>`}</div></section>
        ${creating && html`<${CreateDevice} registry=${registry} close=${() => {
            setCreating(false);
            list.reload();
        }} />`}<//>`;
}
