// The page "Access": tokens of the API, service accounts, gateways and their devices, and the audit log.

import { html, useState } from "./html.js";
import { call, tagged, unchangedSince } from "./api.js";
import { reading, useApi } from "./data.js";
import { CredentialsOf } from "./device_credentials.js";
import { Gateways } from "./gateways.js";
import { DEFAULT, short } from "./names.js";
import { Action, Ask, Badge, Choice, Copy, Dialog, Field, Form, Loaded, Page, Section, Table, Time } from "./parts.js";
import { filter } from "./route.js";

function Tokens() {
    const list = useApi("/v1/tokens");
    const [made, setMade] = useState(null);
    const [dropping, drop] = useState(null);
    const submit = async ({ name, scope }, form) => {
        setMade(await call("POST", "/v1/tokens", { name, scope }));
        form.reset();
        list.reload();
    };
    return html`<${Section} title="API tokens"><p class="hint">The host's own token, in the file <code>admin-token</code>, is not among them.</p>
        <${Loaded} of=${list} empty=${(data) => !data.tokens?.length && "No tokens except the host's own."}>${(data) => html`<${Table} label="Tokens" head=${["Name", "Scope", "Made", ""]}>${data.tokens.map((one) => html`<tr key=${one.name}><td>${one.name}</td><td><${Badge}>${one.scope}<//></td><td><${Time} at=${one.createTime} /></td><td><${Action} needs="admin" kind="danger" run=${() => drop(one.name)}>delete<//></td></tr>`)}<//>`}<//>
        <${Form} needs="admin" label="Create a token" submit=${submit}><${Field} label="Name" name="name" required /><${Choice} label="Scope" name="scope" value="read" options=${[["read", "read: look at everything but tokens and the audit log"], ["operate", "operate: also send to devices"], ["admin", "admin: also change what is there"]]} /><//>
        ${made && html`<${Dialog} title=${`The token ${made.name}`} close=${() => setMade(null)}><p>It is shown only once; the host stores only its hash.</p><${Copy} label="token" text=${made.token} /><//>`}
        ${dropping && html`<${Ask} title=${`Delete the token ${dropping}?`} text="Calls with it are refused from then on." label="Delete" close=${() => drop(null)} run=${async () => {
            await call("DELETE", `/v1/tokens/${encodeURIComponent(dropping)}`);
            list.reload();
        }} />`}<//>`;
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const Lists = ({ of = {} }) => html`<${Field} label="May publish to (one topic filter per line)">${(id) => html`<textarea id=${id} name="publish" spellcheck="false">${(of.publish ?? []).join("\n")}</textarea>`}<//>
    <${Field} label="May subscribe to (one topic filter per line)">${(id) => html`<textarea id=${id} name="subscribe" spellcheck="false">${(of.subscribe ?? []).join("\n")}</textarea>`}<//>`;

function ListsForm({ read, path, done }) {
    // What the dialog was opened with, also after the account is read again.
    const [{ data, etag }] = useState(read);
    const save = async ({ publish, subscribe }) => {
        await call("PATCH", `${path}?updateMask=publish,subscribe`, { publish: lines(publish), subscribe: lines(subscribe) }, unchangedSince(etag));
        done();
    };
    return html`<${Form} needs="admin" label="Save" submit=${save}><${Lists} of=${data} /><p class="hint">Its connections end when the lists change.</p><//>`;
}

/// Saves both lists, so they are read with their revision when the dialog is opened.
function EditLists({ id, path, close, done }) {
    const found = useApi(reading(`lists of ${path}`, (signal) => tagged(path, signal)));
    return html`<${Dialog} title=${`Topics of ${id}`} close=${close}><${Loaded} of=${found}>${(read) => html`<${ListsForm} read=${read} path=${path} done=${done} />`}<//><//>`;
}

function Account({ of, reload }) {
    const path = `/v1/serviceAccounts/${encodeURIComponent(of.id)}`;
    const [ask, setAsk] = useState("");
    const saved = () => {
        setAsk("");
        reload();
    };
    const disable = async () => {
        await call("PATCH", `${path}?updateMask=disabled`, { disabled: !of.disabled });
        reload();
    };
    return html`<details class="card"><summary><strong>${of.id}</strong> ${of.disabled && html`<${Badge} kind="bad">disabled<//>`} <span class="dim">publishes to ${(of.publish ?? []).join(", ") || "nothing"}; subscribes to ${(of.subscribe ?? []).join(", ") || "nothing"}</span></summary>
        <div class="actions"><${Action} needs="admin" run=${() => setAsk("lists")}>topics<//><${Action} needs="admin" run=${disable}>${of.disabled ? "enable" : "disable"}<//><${Action} needs="admin" kind="danger" run=${() => setAsk("delete")}>delete<//></div>
        <p>It connects with the user name <code>serviceAccounts/${of.id}</code>.</p><${CredentialsOf} path=${path} of=${of} reload=${reload} />
        ${ask === "lists" && html`<${EditLists} id=${of.id} path=${path} close=${() => setAsk("")} done=${saved} />`}
        ${ask === "delete" && html`<${Ask} title=${`Delete ${of.id}?`} text="Its connections end." label="Delete" close=${() => setAsk("")} run=${async () => {
            await call("DELETE", path);
            reload();
        }} />`}</details>`;
}

function Accounts() {
    const list = useApi("/v1/serviceAccounts?pageSize=200");
    const submit = async ({ id, publish, subscribe }, form) => {
        await call("POST", "/v1/serviceAccounts", { id, publish: lines(publish), subscribe: lines(subscribe) });
        form.reset();
        list.reload();
    };
    return html`<${Section} title="Service accounts"><p class="hint">For programs that are not devices, such as a dashboard: each may use the topics of its lists.</p>
        <${Loaded} of=${list} empty=${(data) => !data.serviceAccounts?.length && "None."}>${(data) => html`${data.serviceAccounts.map((one) => html`<${Account} key=${one.id} of=${one} reload=${list.reload} />`)}${data.nextPageToken && html`<p class="dim">The first 200 are shown.</p>`}`}<//>
        <${Form} needs="admin" label="Create an account" submit=${submit}><${Field} label="Name" name="id" required /><${Lists} /><//><//>`;
}

function Audit({ query }) {
    const list = useApi(`/v1/audit?pageSize=50${query.after ? `&pageToken=${encodeURIComponent(query.after)}` : ""}`);
    return html`<${Section} title="Audit log" actions=${html`<button onClick=${list.reload}>reload</button>`}><${Loaded} of=${list} empty=${(data) => !data.lines?.length && "There are no changes yet."}>${(data) => html`<${Table} label="Audit log, newest first" head=${["When", "Who", "From", "Call", "Object", "With", "Result"]}>
        ${data.lines.map((one, n) => html`<tr key=${n}><td><${Time} at=${one.time} /></td><td>${one.who}</td><td>${one.address}</td><td class="mono" title=${one.call}>${one.call.replace(DEFAULT, "…")}</td><td title=${one.object}>${one.object?.split(", ").map(short).join(", ")}</td><td>${one.parameters && html`<div class="payload"><code>${JSON.stringify(one.parameters)}</code></div>`}</td><td><${Badge} kind=${one.status < 400 ? "good" : "bad"}>${one.status}<//></td></tr>`)}<//>`}<//>
        <div class="actions">${query.after && html`<button onClick=${() => filter({ after: "" })}>newest</button>`}${list.data?.nextPageToken && html`<button onClick=${() => filter({ after: list.data.nextPageToken })}>older</button>`}</div><//>`;
}

export function Access({ query }) {
    return html`<${Page} title="Access"><div class="columns"><${Tokens} /><${Accounts} /></div><${Gateways} query=${query} /><${Audit} query=${query} /><//>`;
}
