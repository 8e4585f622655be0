// One plugin: its activity, grants, costs and errors.

import { html, useState } from "./html.js";
import { call, may, text } from "./api.js";
import { reading, useApi } from "./data.js";
import { did } from "./event_row.js";
import { parse } from "./metrics.js";
import { link } from "./names.js";
import { Action, Ask, Badge, Field, Form, Loaded, Page, Searched, Section, Table, Time, clock, number, say } from "./parts.js";
import { Candidates, Guard } from "./plugin_candidates.js";
import { Settings } from "./plugin_settings.js";
import { State, upload } from "./plugin_state.js";
import { Try } from "./plugin_try.js";
import { Versions } from "./plugin_versions.js";
import { filter, go } from "./route.js";

const of = (name) => `/v1/plugins/${encodeURIComponent(name)}`;

function Cost({ name }) {
    const path = "/metrics";
    const found = useApi(reading(`${path} ${name}`, async (signal) => {
        const mine = parse(await text(path, signal)).filter((one) => one.labels.plugin === name);
        const value = (metric) => mine.find((one) => one.name === metric)?.value ?? 0;
        return { seconds: value("plugin_guest_seconds_sum"), count: value("plugin_guest_seconds_count") };
    }), { every: 10_000 });
    return html`<${Loaded} of=${found}>${({ seconds, count }) => (count ? html`${((seconds / count) * 1e6).toFixed(0)} µs on average` : html`<span class="dim">none handled yet</span>`)}<//>`;
}

function Facts({ plugin }) {
    const { counters, timers, rolledBack } = plugin;
    const limits = Object.entries(plugin.limitsHit);
    return html`<${Section} title="What it is">${plugin.warnings.map((text) => html`<p class="problem" key=${text}>${text}</p>`)}${plugin.lastError && html`<p class="problem">${plugin.lastError}</p>`}
        ${rolledBack && html`<p class="problem">Version <code>${rolledBack.digest.slice(0, 19)}</code> failed <${Time} at=${rolledBack.time} /> ${rolledBack.stays ? html`its guard: ${rolledBack.error}.` : html`and was rolled back: ${rolledBack.error}. The one before it runs until ${rolledBack.until}.`}</p>`}
        <dl class="facts"><dt>State</dt><dd><${State} of=${plugin.state} /></dd><dt>Component</dt><dd>${plugin.component || "none"} ${plugin.version}</dd><dt>Digest</dt><dd class="mono">${plugin.digest || "none"}</dd>
        <dt>Events</dt><dd>${number(counters.events)} since the host started: ${number(counters.done)} done, ${counters.dead ? html`<a href=${link("dead-letters", "", { plugin: plugin.name })}>${number(counters.dead)} dead ${counters.dead === 1 ? "letter" : "letters"}</a>` : "no dead letter"}; ${number(counters.effects)} effects. Executions: ${number(counters.rejected)} rejected, ${number(counters.failed)} failed, ${number(counters.retried)} tried again</dd>
        <dt>Waiting</dt><dd>${number(plugin.queued)}${plugin.lagging ? ", and more in the journal" : ""}${plugin.waitingForApproval > 0 && html`; the effects of <a href=${link("approvals", "", { plugin: plugin.name })}>${number(plugin.waitingForApproval)} ${plugin.waitingForApproval === 1 ? "event waits" : "events wait"} for approval</a>`}</dd><dt>Cost per event</dt><dd><${Cost} name=${plugin.name} /></dd>
        <dt>Timers</dt><dd>${timers.count ? html`${timers.count}, the next <${Time} at=${timers.nextTime} />` : "none"}</dd>
        <dt>Limits hit</dt><dd>${limits.length ? limits.map(([limit, count]) => html`<${Badge} kind="warn" key=${limit}>${limit} ${number(count)} times<//> `) : "none"}</dd>
        ${plugin.refusedImports?.length > 0 && html`<dt>Refused</dt><dd>each call of ${plugin.refusedImports.map((one) => html`<div key=${one}><code>${one}</code></div>`)}</dd>`}
        ${plugin.emptyImports?.length > 0 && html`<dt>Empty</dt><dd>nothing is in ${plugin.emptyImports.map((one) => html`<div key=${one}><code>${one}</code></div>`)}</dd>`}
        <dt>Triggers</dt><dd>${plugin.triggers.length ? plugin.triggers.map((one) => html`<div key=${one}><code>${one}</code></div>`) : "none"}</dd></dl><//>`;
}

function Grants({ plugin, done }) {
    const inForce = new Set(plugin.grantsInForce);
    const asked = plugin.grants;
    const submit = async (fields) => {
        const grants = {};
        for (const grant of asked.filter((one) => fields[one])) {
            const at = grant.indexOf(" ");
            (grants[grant.slice(0, at)] ??= []).push(grant.slice(at + 1));
        }
        await call("POST", `${of(plugin.name)}:grant`, { grants });
        say("The grants were written into its settings file; the host loads it now.");
        done();
    };
    const rows = asked.map((grant) => html`<label class="check" key=${grant}><input type="checkbox" name=${grant} defaultChecked=${inForce.has(grant) || plugin.state === "waiting-for-consent"} disabled=${!may("admin")} /> <code>${grant}</code> ${inForce.has(grant) ? html`<${Badge} kind="good">in force<//>` : html`<${Badge} kind="warn">not granted<//>`}</label>`);
    const other = plugin.grantsInForce.filter((grant) => !asked.includes(grant));
    return html`<${Section} title="Grants"><p class="hint">The grants that the component asks for, and those that are in force.</p>
        ${asked.length === 0 ? html`<p class="dim">It asks for no grants.</p>` : may("admin") ? html`<${Form} needs="admin" label="Grant the selected entries" submit=${submit}>${rows}<//>` : rows}
        ${other.length > 0 && html`<p>Narrowed by its settings file to: ${other.map((one) => html`<code key=${one}>${one}</code> `)}</p>`}<//>`;
}

function Past({ name, query }) {
    const logged = query.all !== "yes";
    const list = useApi(`/v1/executions?pageSize=50&plugin=${encodeURIComponent(name)}${logged ? "&logged=true" : ""}${query.before ? `&pageToken=${encodeURIComponent(query.before)}` : ""}`, { every: query.before ? undefined : 5_000 });
    return html`<${Section} title="What it did" actions=${html`<label class="check"><input type="checkbox" checked=${logged} onChange=${() => filter({ all: logged ? "yes" : "", before: "" })} /> only with log lines or errors</label>`}>
        <${Loaded} of=${list} empty=${(data) => data.executions.length === 0 && (data.nextPageToken ? "None so far." : logged ? "There are no stored log lines or errors." : "Nothing is kept.")}>${(data) => html`<${Table} label="Executions, newest first" head=${["When", "Event", "Version", html`<th scope="col" class="num">Took</th>`, "Did", "Log"]}>
            ${data.executions.map((one) => html`<tr key=${`${one.event}-${one.attempt}-${one.time}`}><td title=${one.time} class="mono">${clock(one.time)}</td><td><a href=${link("why", `${one.event}.${name}`)}>${one.event}</a></td><td><span class="mono">${one.digest.slice(7, 15)}</span>${one.canary && " canary"}</td><td class="num">${number(one.tookUs)} µs</td>
                <td>${one.outcome === "dead" ? html`<span class="problem">${one.error}</span>` : did(one)}</td><td>${one.logs?.length > 0 && html`<pre tabindex="0" aria-label="log lines">${one.logs.join("\n")}</pre>`}</td></tr>`)}<//>`}<//><${Searched} of=${[list.data]} />
        <div class="actions">${query.before && html`<button onClick=${() => filter({ before: "" })}>newest</button>`}${list.data?.nextPageToken && html`<button onClick=${() => filter({ before: list.data.nextPageToken })}>older</button>`}</div><//>`;
}

function Replace({ name, done }) {
    const submit = async ({ file }) => {
        await upload(name, file);
        say("It was written into the plugin folder; the host loads it now, and restores the previous version if it fails.");
        done();
    };
    return html`<${Section} title="Another version"><${Form} needs="admin" label="Upload" submit=${submit}><${Field} label="Component (.wasm) or settings (.toml)" name="file" type="file" accept=".wasm,.toml" required /><//><//>`;
}

export function Plugin({ name, query }) {
    const found = useApi(of(name), { every: 2_000 });
    const [ask, setAsk] = useState(null);
    const run = (verb) => async () => {
        const answer = await call("POST", `${of(name)}:${verb}`, {});
        say(answer.state ? `${name} is ${answer.state}.` : "Done; the host loads it now.");
        found.reload();
    };
    const disabled = found.data?.state === "disabled";
    const actions = html`<${Action} needs="admin" run=${run(disabled ? "enable" : "disable")}>${disabled ? "enable" : "disable"}<//><${Action} needs="admin" run=${run("reload")}>reload<//>
        <${Action} needs="admin" run=${() => setAsk("rollback")}>roll back<//><${Action} needs="admin" kind="danger" run=${() => setAsk("remove")}>remove<//>`;
    return html`<${Page} title=${name} hint=${found.data?.summary} actions=${actions}><${Loaded} of=${found} missing=${html`<a href="#/plugins">All plugins</a>`}>${(plugin) => html`<${Facts} plugin=${plugin} />
        <div class="columns"><${Settings} plugin=${plugin} done=${found.reload} key=${plugin.settings} /><${Grants} plugin=${plugin} done=${found.reload} key=${plugin.state + plugin.grantsInForce} /></div>
        ${plugin.guard && html`<${Guard} of=${plugin.guard} />`}<${Versions} plugin=${plugin} done=${found.reload} query=${query} /><${Candidates} plugin=${plugin} done=${found.reload} />${may("admin") && plugin.digest && html`<${Try} name=${name} />`}<${Past} name=${name} query=${query} />${may("admin") && html`<${Replace} name=${name} done=${found.reload} />`}`}<//>
        ${ask === "rollback" && html`<${Ask} title=${`Roll ${name} back?`} text="The version before this one, with its settings, takes its place." label="Roll back" close=${() => setAsk(null)} run=${run("rollback")} />`}
        ${ask === "remove" && html`<${Ask} title=${`Remove ${name}?`} text="Its files are deleted from the plugin folder. Its state and timers are kept." label="Remove" close=${() => setAsk(null)} run=${async () => {
            await call("DELETE", of(name));
            go("plugins");
        }} />`}<//>`;
}
