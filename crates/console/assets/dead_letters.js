// Events that a plugin could not handle: show, redrive or purge them.

import { html, useState } from "./html.js";
import { call } from "./api.js";
import { useApi } from "./data.js";
import { says } from "./event_row.js";
import { link } from "./names.js";
import { Action, Ask, Choice, DeviceLink, Loaded, Page, Section, Table, Time, say } from "./parts.js";
import { filter, go } from "./route.js";
import { Step } from "./step.js";

const of = (id) => `/v1/deadLetters/${encodeURIComponent(id)}`;
const PAGE = 50;

const redrive = (id) => call("POST", `${of(id)}:redrive`, {});

function One({ id }) {
    const found = useApi(of(id));
    const [ask, setAsk] = useState(false);
    // It is gone when its event was handled.
    const again = async () => {
        await redrive(id);
        go("dead-letters");
    };
    const actions = html`<${Action} run=${again} done="The plugin handles the event again.">redrive<//><${Action} needs="admin" kind="danger" run=${() => setAsk(true)}>purge<//>`;
    return html`<${Page} title=${`Dead letter ${id}`} actions=${actions}><${Loaded} of=${found}>${(letter) => html`
        <${Section} title="The event"><${Step} step=${{ event: letter.event }} /></${Section}>
        <${Section} title="Result of the plugin"><${Step} step=${{ deadLetter: letter }} /><p><a href=${link("plugins", letter.plugin)}>plugin ${letter.plugin}</a>, <span class="mono">${letter.digest.slice(0, 19)}</span>, attempt ${letter.attempt} · <a href=${link("why", `deadLetters/${id}`)}>why?</a></p><//>`}<//>
        ${ask && html`<${Ask} title=${`Purge dead letter ${id}?`} text="It is deleted. This cannot be undone." label="Purge" close=${() => setAsk(false)} run=${async () => {
            await call("DELETE", of(id));
            go("dead-letters");
        }} />`}<//>`;
}

function Row({ letter, picked, pick, reload }) {
    return html`<tr class=${picked ? "picked" : ""}><td><input type="checkbox" checked=${picked} aria-label=${`pick dead letter ${letter.id}`} onChange=${() => pick(letter.id)} /></td><td><a href=${link("dead-letters", letter.id)}>${letter.id}</a></td><td><${Time} at=${letter.time} /></td>
        <td><a href=${link("plugins", letter.plugin)}>${letter.plugin}</a></td><td><${DeviceLink} name=${letter.event.device} /></td><td class="mono">${says(letter.event)}</td><td>${letter.error}</td>
        <td><${Action} run=${async () => {
            await redrive(letter.id);
            reload();
        }} done="The plugin handles the event again.">redrive<//></td></tr>`;
}

function All({ query }) {
    const plugin = query.plugin ?? "";
    const params = new URLSearchParams({ pageSize: PAGE, ...(plugin && { plugin }), ...(query.after && { pageToken: query.after }) });
    const list = useApi(`/v1/deadLetters?${params}`, { every: 5_000 });
    const plugins = useApi("/v1/plugins");
    const [picked, setPicked] = useState(new Set());
    const [ask, setAsk] = useState("");
    const letters = list.data?.deadLetters ?? [];
    const pick = (id) => {
        const next = new Set(picked);
        if (!next.delete(id)) next.add(id);
        setPicked(next);
    };
    const every = letters.length > 0 && letters.every(({ id }) => picked.has(id));
    const pickEvery = () => setPicked(every ? new Set() : new Set([...picked, ...letters.map(({ id }) => id)]));
    const each = async (what, done) => {
        const failed = [];
        for (const id of picked) await what(id).catch((error) => failed.push(`${id}: ${error.message}`));
        say(`${done}: ${picked.size - failed.length}.`);
        if (failed.length) say(failed.slice(0, 5).join("; "), "bad");
        setPicked(new Set());
        list.reload();
    };
    const all = async () => {
        const { redriven, left } = await call("POST", "/v1/deadLetters:redrive", plugin ? { plugin } : {});
        say(`Handled again: ${redriven}.${left ? ` Not now: ${left}, as their plugins do not run or have them already.` : ""}`);
        list.reload();
    };
    const whose = plugin ? ` of ${plugin}` : "";
    const actions = html`<${Action} run=${all} disabled=${letters.length === 0}>redrive all${whose}<//><${Action} needs="admin" kind="danger" disabled=${letters.length === 0} run=${() => setAsk("all")}>purge all${whose}<//>`;
    return html`<${Page} title="Dead letters" hint="Events that a plugin rejected or could not handle in five attempts, the oldest first. None of their effects were committed." actions=${actions}><section class="card" aria-label="Dead letters">
        <div class="filters"><${Choice} label="Plugin" value=${plugin} options=${[["", "all"], ...(plugins.data?.plugins ?? []).map((one) => [one.name, one.name])]} onChange=${(name) => filter({ plugin: name, after: "" })} /></div>
        ${picked.size > 0 && html`<div class="actions" role="group" aria-label="With the selected dead letters"><strong>${picked.size} picked</strong><${Action} run=${() => each(redrive, "Handled again")}>redrive<//><${Action} needs="admin" kind="danger" run=${() => setAsk("picked")}>purge<//></div>`}
        <${Loaded} of=${list} empty=${(data) => data.deadLetters.length === 0 && (query.after ? "No more dead letters." : plugin ? `${plugin} has no dead letters.` : "There are no dead letters: every event was handled.")}>${() => html`<${Table} label="Dead letters, oldest first" head=${[html`<th scope="col"><input type="checkbox" aria-label="Select all on this page" checked=${every} onChange=${pickEvery} /></th>`, "Id", "When", "Plugin", "Device", "Event", "Error", ""]}>${letters.map((letter) => html`<${Row} key=${letter.id} letter=${letter} picked=${picked.has(letter.id)} pick=${pick} reload=${list.reload} />`)}<//>`}<//>
        <div class="actions">${query.after && html`<button onClick=${() => filter({ after: "" })}>first page</button>`}${list.data?.nextPageToken && html`<button onClick=${() => filter({ after: list.data.nextPageToken })}>next ${PAGE}</button>`}</div></section>
        ${ask === "all" && html`<${Ask} title=${`Purge all dead letters${whose}?`} text="They are deleted. This cannot be undone." label="Purge" close=${() => setAsk("")} run=${async () => {
            await call("DELETE", `/v1/deadLetters?${plugin ? `plugin=${encodeURIComponent(plugin)}` : "all=true"}`);
            list.reload();
        }} />`}
        ${ask === "picked" && html`<${Ask} title=${`Purge ${picked.size} dead letters?`} text="They are deleted. This cannot be undone." label="Purge" close=${() => setAsk("")} run=${() => each((id) => call("DELETE", of(id)), "Purged")} />`}<//>`;
}

export const DeadLetters = ({ what, query }) => (what ? html`<${One} id=${what} />` : html`<${All} query=${query} />`);
