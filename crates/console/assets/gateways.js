// Gateways: the devices that are bound to each, and those that are attached now.

import { html } from "./html.js";
import { useApi } from "./data.js";
import { DEFAULT, link, registryPath } from "./names.js";
import { Badge, Choice, Loaded, Section, Table } from "./parts.js";
import { filter } from "./route.js";

const PAGE = 200;

/// A device's link is in its short form if its registry is the default one.
const to = (registry, id) => link("device", registry === DEFAULT ? id : `${registry}/devices/${id}`);

function Those({ registry, which, none }) {
    const list = useApi(registryPath(registry, `/devices?pageSize=${PAGE}&fieldMask=id&${which}`), { every: 5_000 });
    return html`<${Loaded} of=${list} empty=${(data) => !data.devices?.length && none}>${(data) => html`${data.devices.map((one) => html`<a key=${one.id} href=${to(registry, one.id)}>${one.id}</a> `)}${data.nextPageToken && "and more"}`}<//>`;
}

/// The choice of a registry, where there is more than one.
export function Registry({ registry, change }) {
    const registries = useApi("/v1/projects/local/locations/local/registries?pageSize=1000");
    const names = registries.data?.deviceRegistries?.map((one) => one.name) ?? [];
    return names.length > 1 && html`<${Choice} label="Registry" value=${registry} options=${names.map((name) => [name, name.split("/").at(-1)])} onChange=${(name) => change(name === DEFAULT ? "" : name)} />`;
}

export function Gateways({ query }) {
    const registry = query.registry || DEFAULT;
    const list = useApi(registryPath(registry, `/devices?pageSize=50&fieldMask=id,connected,gatewayConfig${query.gateways ? `&pageToken=${encodeURIComponent(query.gateways)}` : ""}&gatewayListOptions.gatewayType=GATEWAY`), { every: 5_000 });
    const row = ({ id, connected, gatewayConfig }) => html`<tr key=${id}><td><a href=${to(registry, id)}>${id}</a></td><td>${connected ? html`<${Badge} kind="good">connected<//>` : html`<${Badge}>away<//>`}</td><td>${(gatewayConfig?.gatewayAuthMethod ?? "").toLowerCase().replaceAll("_", "-")}</td>
        <td><${Those} registry=${registry} which=${`attachedTo=${encodeURIComponent(id)}`} none="none now" /></td><td><${Those} registry=${registry} which=${`gatewayListOptions.associationsGatewayId=${encodeURIComponent(id)}`} none="none" /></td></tr>`;
    return html`<${Section} title="Gateways and attached devices" actions=${html`<${Registry} registry=${registry} change=${(name) => filter({ registry: name, gateways: "" })} />`}><${Loaded} of=${list} empty=${(data) => !data.devices?.length && `There are no gateways in the registry ${registry.split("/").at(-1)}.`}>${(data) => html`<${Table} label="Gateways" head=${["Gateway", "State", "Attaches by", "Attached now", "Bound to it"]}>${data.devices.map(row)}<//>`}<//>
        <div class="actions">${query.gateways && html`<button onClick=${() => filter({ gateways: "" })}>first page</button>`}${list.data?.nextPageToken && html`<button onClick=${() => filter({ gateways: list.data.nextPageToken })}>next 50</button>`}</div><//>`;
}
