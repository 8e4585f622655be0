// A new device, with a credential, and how it connects with it.

import { html, useState } from "./html.js";
import { call } from "./api.js";
import { useApi } from "./data.js";
import { FORMATS, canMakeKeys, keyPair, password } from "./keys.js";
import { DEFAULT, devicePath, link, registryPath } from "./names.js";
import { Choice, Copy, Dialog, Field, Form, Loaded } from "./parts.js";

const WAYS = [["password", "a password, made here"], ["make", "a key, made here"], ["paste", "a public key or certificate that I have"], ["none", "none yet"]];

/// The shell command that tries the device.
function Connection({ made }) {
    const listeners = useApi("/v1/listeners");
    return html`<${Loaded} of=${listeners}>${(reach) => {
        const [host, port] = [location.hostname, reach.mqtt.split(":").at(-1)];
        const client = made.registry === DEFAULT ? made.id : `${made.registry}/devices/${made.id}`;
        const secret = made.password ? ` -u unused -P '${made.password}'` : "";
        return html`<p>It connects to <code>${reach.mqtt}</code>${reach.mqtts && html`, with TLS to <code>${reach.mqtts}</code>`}${reach.ws && html`, over WebSocket to <code>${reach.ws}</code>`}, with its id as the client id.</p>
            ${made.privateKey || made.pasted
                ? html`<p>Its password is a token that its private key signs, as <code>switchbox device token</code> creates it:</p>
                    <${Copy} label="command" text=${`mosquitto_pub -h ${host} -p ${port} -i ${client} -u unused -P "$(switchbox device token --key device.key.pem)" -q 1 -t /devices/${made.id}/events -m '{"hello":true}'`} />`
                : html`<${Copy} label="command" text=${`mosquitto_pub -h ${host} -p ${port} -i ${client}${secret} -q 1 -t /devices/${made.id}/events -m '{"hello":true}'`} />`}`;
    }}<//>`;
}

function Made({ made, close }) {
    return html`<${Dialog} title=${`${made.id} is registered`} close=${close}>
        ${made.password && html`<p>Its password. It is shown only once; the host stores only its hash.</p><${Copy} label="password" text=${made.password} />`}
        ${made.privateKey && html`<p>Its private key. It was created in this browser, is shown only once, and is not stored by the host: save it as <code>device.key.pem</code>.</p><${Copy} label="private key" text=${made.privateKey} />`}
        <${Connection} made=${made} /><div class="actions"><a href=${link("device", made.registry === DEFAULT ? made.id : `${made.registry}/devices/${made.id}`)}>to the device</a></div><//>`;
}

export function CreateDevice({ registry, close }) {
    const [way, setWay] = useState("password");
    const [made, setMade] = useState(null);
    const submit = async ({ id, key, format, gateway }) => {
        const device = { id: id.trim() };
        const kept = { registry, id: device.id };
        if (gateway) device.gatewayConfig = { gatewayType: "GATEWAY", gatewayAuthMethod: "ASSOCIATION_ONLY" };
        if (way === "make") {
            const pair = await keyPair();
            kept.privateKey = pair.privateKey;
            device.credentials = [{ publicKey: { format: "ES256_PEM", key: pair.publicKey } }];
        } else if (way === "paste") {
            kept.pasted = true;
            device.credentials = [{ publicKey: { format, key } }];
        }
        await call("POST", registryPath(registry, "/devices"), device);
        if (way === "password") {
            kept.password = password();
            await call("POST", devicePath(`${registry}/devices/${device.id}`, ":setPassword"), { password: kept.password });
        }
        setMade(kept);
    };
    if (made) return html`<${Made} made=${made} close=${close} />`;
    const ways = canMakeKeys() ? WAYS : WAYS.filter(([name]) => name !== "make");
    return html`<${Dialog} title="New device" close=${close}><${Form} needs="admin" label="Register" submit=${submit}>
        <${Field} label="Id" name="id" required pattern="[a-zA-Z0-9].*" hint="Letters, digits and - _ . ~ % :; it begins with a letter or a digit." />
        <${Choice} label="Credential" value=${way} options=${ways} onChange=${setWay} />
        ${!canMakeKeys() && html`<p class="hint">A key cannot be created here: browsers support this only on pages with TLS or from the same machine.</p>`}
        ${way === "paste" && html`<${Choice} label="Format" name="format" options=${FORMATS} /><${Field} label="Key or certificate (PEM)">${(field) => html`<textarea id=${field} name="key" required spellcheck="false"></textarea>`}<//>`}
        <label class="check"><input type="checkbox" name="gateway" /> it is a gateway, which connects other devices</label><//><//>`;
}
