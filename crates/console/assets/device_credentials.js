// The credentials of a device or of a service account.

import { html, useState } from "./html.js";
import { call, may } from "./api.js";
import { FORMATS, password } from "./keys.js";
import { devicePath } from "./names.js";
import { Action, Badge, Choice, Copy, Dialog, Field, Form, Section, Table, Time } from "./parts.js";

const short = (key) => key.replace(/-----[^-]+-----|\s/g, "").slice(0, 32);

export function CredentialsOf({ path, of, reload }) {
    const [dialog, setDialog] = useState("");
    const [secret, setSecret] = useState("");
    const done = () => {
        setDialog("");
        reload();
    };
    const remove = (credential) => async () => {
        await call("POST", `${path}:removeCredential`, credential);
        reload();
    };
    const give = async () => {
        const made = password();
        await call("POST", `${path}:setPassword`, { password: made });
        setSecret(made);
        reload();
    };
    const take = async () => {
        await call("POST", `${path}:setPassword`, {});
        reload();
    };
    const add = async ({ format, key, until }) => {
        await call("POST", `${path}:addCredential`, { publicKey: { format, key }, ...(until && { expirationTime: new Date(until).toISOString() }) });
        done();
    };
    const keys = of.credentials ?? [];
    return html`<div class="actions"><${Action} needs="admin" run=${() => setDialog("add")}>add a key<//><${Action} needs="admin" run=${give}>${of.hasPassword ? "new password" : "give a password"}<//>${of.hasPassword && html`<${Action} needs="admin" kind="danger" run=${take} done="The password was removed.">remove the password<//>`}</div>
        ${of.hasPassword && html`<p><${Badge}>password<//> A password is set; the host stores only its hash.</p>`}
        ${keys.length === 0 ? html`<p class="dim">${of.hasPassword ? "No key." : "None. The device can connect without credentials only while enrolment is open."}</p>`
            : html`<${Table} label="Keys" head=${["Kind", "Key begins", "Until", ""]}>${keys.map((one) => html`<tr key=${one.publicKey.key}><td>${one.publicKey.format}</td><td class="mono">${short(one.publicKey.key)} …</td><td>${one.expirationTime ? html`<${Time} at=${one.expirationTime} />` : "for ever"}</td>
                <td><${Action} needs="admin" kind="danger" run=${remove(one)} done="The key was removed.">remove<//></td></tr>`)}<//>`}
        ${secret && html`<${Dialog} title="The password" close=${() => setSecret("")}><p>It is shown only once.</p><${Copy} label="password" text=${secret} /><//>`}
        ${dialog === "add" && html`<${Dialog} title="Add a key" close=${() => setDialog("")}><${Form} needs="admin" label="Add" submit=${add}><${Choice} label="Format" name="format" options=${FORMATS} />
            <${Field} label="Key or certificate (PEM)">${(id) => html`<textarea id=${id} name="key" required spellcheck="false"></textarea>`}<//><${Field} label="Expires (empty: never)" name="until" type="datetime-local" /><//><//>`}`;
}

export function Credentials({ name, device, reload }) {
    return html`<${Section} title="Credentials">${!may("admin") && html`<p class="hint">This token cannot change them.</p>`}<${CredentialsOf} path=${devicePath(name)} of=${device} reload=${reload} /><//>`;
}
