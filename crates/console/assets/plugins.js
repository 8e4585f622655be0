// All plugins, and one of them.

import { html, useState } from "./html.js";
import { may, put } from "./api.js";
import { useApi } from "./data.js";
import { link } from "./names.js";
import { Badge, Choice, Dialog, Field, Form, Loaded, Page, Section, Table, number, say } from "./parts.js";
import { Plugin } from "./plugin.js";
import { STATES, State, upload } from "./plugin_state.js";
import { filter, go } from "./route.js";

/// A name for files of the plugin folder.
const NAME = "[a-z0-9][a-z0-9_\\-]*";

function Gallery() {
    const builtins = useApi("/v1/builtins");
    const [chosen, choose] = useState(null);
    const start = async ({ name }) => {
        await put(`/v1/plugins/${encodeURIComponent(name)}`, "application/toml", `component = "builtin:${chosen.name}"\n`);
        say(`${name} was written into the plugin folder; the host loads it now.`);
        choose(null);
        go("plugins", name);
    };
    return html`<${Section} title="Start a built-in plugin"><${Loaded} of=${builtins}>${(data) => html`<dl class="facts">${data.builtins.map((one) => html`<dt key=${one.name}><button onClick=${() => choose(one)}>${one.name}</button></dt><dd>${one.summary}</dd>`)}</dl>`}<//>
        ${chosen && html`<${Dialog} title=${`Start ${chosen.name}`} close=${() => choose(null)}><p>${chosen.summary} It starts with its default settings; its page shows them as a form.</p><${Form} needs="admin" label="Start" submit=${start}><${Field} label="Name" name="name" value=${chosen.name} required pattern=${NAME} /><//><//>`}<//>`;
}

function Upload() {
    const submit = async ({ name, file }) => {
        const called = name || file.name.replace(/\.(wasm|toml)$/, "");
        await upload(called, file);
        say(`${called} was written into the plugin folder; the host loads it now.`);
        go("plugins", called);
    };
    return html`<${Section} title="Upload one"><${Form} needs="admin" label="Upload" submit=${submit}><${Field} label="Component (.wasm) or settings (.toml)" name="file" type="file" accept=".wasm,.toml" required />
        <${Field} label="Name (empty: the file's name)" name="name" pattern=${NAME} /><//><//>`;
}

function All({ query }) {
    const list = useApi("/v1/plugins", { every: 3_000 });
    const wanted = query.state ?? "";
    return html`<${Page} title="Plugins" hint="Rules that run: sandboxed components from the plugin folder."><section class="card" aria-label="Plugins">
        <div class="filters"><${Choice} label="State" value=${wanted} options=${[["", "all"], ...Object.keys(STATES).map((state) => [state, state])]} onChange=${(state) => filter({ state })} /></div>
        <${Loaded} of=${list} empty=${(data) => data.plugins.length === 0 ? "No plugin is installed yet, so events have no effects." : wanted && data.plugins.every((one) => one.state !== wanted) && "No plugin is in this state."}>${(data) => html`<${Table} label="Plugins" head=${["Plugin", "State", "Component", ...["Events", "Failed", "Waiting"].map((title) => html`<th scope="col" class="num">${title}</th>`), "Last error"]}>
            ${data.plugins.filter((one) => !wanted || one.state === wanted).map((one) => html`<tr key=${one.name}><td><a href=${link("plugins", one.name)}>${one.name}</a><div class="dim">${one.summary}</div></td><td><${State} of=${one.state} /> ${one.warnings.length > 0 && html`<${Badge} kind="warn">warning<//>`}</td>
                <td>${one.component} <span class="dim mono">${one.digest.slice(7, 19)}</span></td><td class="num">${number(one.counters.events)}</td><td class="num">${number(one.counters.failed + one.counters.dead)}</td><td class="num">${number(one.queued)}${one.lagging && " and more"}</td><td>${one.lastError ?? ""}</td></tr>`)}<//>`}<//></section>
        ${may("admin") && html`<div class="columns"><${Gallery} /><${Upload} /></div>`}<//>`;
}

export const Plugins = ({ what, query }) => (what ? html`<${Plugin} key=${what} name=${what} query=${query} />` : html`<${All} query=${query} />`);
