// Why something waits for a device: whether the device is there.

import { html } from "./html.js";
import { useApi } from "./data.js";
import { devicePath } from "./names.js";
import { Badge, Time } from "./parts.js";

/// When the device was last seen.
export const newest = (device) => [device.lastEventTime, device.lastHeartbeatTime, device.lastStateTime, device.lastConfigAckTime].filter(Boolean).sort().at(-1);

/// It may be connected and not have sent anything.
export function Seen({ of }) {
    const at = newest(of);
    return at ? html`<${Time} at=${at} />` : html`<span class="dim">no data yet</span>`;
}

/// `made`: when the waiting config was created; a command has its own status.
export function Reach({ name, made }) {
    const { data: device, error } = useApi(devicePath(name, "?fieldMask=connected,blocked,attachedGatewayId,lastEventTime,lastHeartbeatTime,lastStateTime,lastConfigAckTime,lastConfigSendTime"), { every: 5_000 });
    if (error?.status === 404) return html`<span class="problem">The device is no longer registered.</span>`;
    if (!device) return null;
    if (device.blocked) return html`<span><${Badge} kind="bad">blocked<//> It is blocked, so nothing is sent to it.</span>`;
    if (!device.connected) return html`<span><${Badge} kind="bad">offline<//> It is not connected; last seen: <${Seen} of=${device} />.</span>`;
    const over = device.attachedGatewayId ? ` over the gateway ${device.attachedGatewayId}` : "";
    if (made && !(device.lastConfigSendTime >= made)) return html`<span><${Badge} kind="warn">not sent<//> It is connected${over}, and does not subscribe to its config, or has as much in flight as it may.</span>`;
    return html`<span><${Badge} kind="good">connected<//> It is connected${over}.${made ? html` The config was sent <${Time} at=${device.lastConfigSendTime} /> and is not acknowledged.` : " It does not subscribe to its commands, or has not acknowledged yet."}</span>`;
}
