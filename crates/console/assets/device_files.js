// Files that a device has uploaded: list, download, delete. A file's name is the device's; its bytes are never shown.

import { html, useState } from "./html.js";
import { blob, call } from "./api.js";
import { useApi } from "./data.js";
import { devicePath, parts, registryPath } from "./names.js";
import { Action, Ask, Loaded, Section, Table, Time, say, size } from "./parts.js";
import { filter } from "./route.js";

const PAGE = 50;
/// A file is in the browser's memory until it is saved.
const MOST_BYTES = 256 * 1024 ** 2;

/// A name may contain slashes, and is one part of the path.
const of = (name, file) => devicePath(name, `/files/${encodeURIComponent(file.name)}`);

async function download(name, file) {
    if (Number(file.bytes) > MOST_BYTES) throw new Error(`It is too large for this page: switchbox file get ${parts(name).id} ${file.name}`);
    const address = URL.createObjectURL(await blob(of(name, file)));
    const anchor = Object.assign(document.createElement("a"), { href: address, download: file.name.split("/").at(-1) });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    say(`${file.name} was fetched.`);
}

export function Files({ name, query }) {
    const { registry, id } = parts(name);
    const params = new URLSearchParams({ pageSize: PAGE, device: id, ...(query.after && { pageToken: query.after }) });
    const list = useApi(registryPath(registry, `/files?${params}`), { every: 10_000 });
    const [dropping, drop] = useState(null);
    const row = (file) => html`<tr key=${file.name}><td>${file.name}</td><td class="num">${size(file.bytes)}</td><td><${Time} at=${file.time} /></td>
        <td><div class="actions"><${Action} needs="read" run=${() => download(name, file)}>download<//><${Action} needs="admin" kind="danger" run=${() => drop(file)}>delete<//></div></td></tr>`;
    return html`<${Section} title="Files"><p class="hint">What the device has uploaded.</p>
        <${Loaded} of=${list} empty=${(data) => data.files.length === 0 && (query.after ? "No more files." : "It has uploaded none.")}>${(data) => html`<${Table} label="Files" head=${["Name", html`<th scope="col" class="num">Size</th>`, "Uploaded", ""]}>${data.files.map(row)}<//>`}<//>
        <div class="actions">${query.after && html`<button onClick=${() => filter({ after: "" })}>first page</button>`}${list.data?.nextPageToken && html`<button onClick=${() => filter({ after: list.data.nextPageToken })}>next ${PAGE}</button>`}</div>
        ${dropping && html`<${Ask} title=${`Delete ${dropping.name}?`} text="This cannot be undone." label="Delete" close=${() => drop(null)} run=${async () => {
            await call("DELETE", of(name, dropping));
            list.reload();
        }} />`}<//>`;
}
