// Effects of plugins that wait for an operator's approval, because they reach more targets than the plugin's limits allow.

import { html, useState } from "./html.js";
import { call } from "./api.js";
import { useApi } from "./data.js";
import { link } from "./names.js";
import { Action, Badge, Choice, DeviceLink, Dialog, Field, Form, Loaded, Page, Section, Time, number, say } from "./parts.js";
import { Effects } from "./plugin_try.js";
import { filter } from "./route.js";

const of = (id) => `/v1/approvals/${encodeURIComponent(id)}`;

function Waiting({ one, reload, reject }) {
    const approve = async () => {
        await call("POST", `${of(one.id)}:approve`, {});
        say(`The effects of ${one.id} are carried out.`);
        reload();
    };
    const more = one.effectCount - one.effects.length;
    const actions = html`<${Action} needs="admin" kind="main" run=${approve}>approve<//><${Action} needs="admin" kind="danger" run=${() => reject(one)}>reject<//>`;
    return html`<${Section} title=${one.id} actions=${actions}><dl class="facts"><dt>Why it waits</dt><dd><${Badge} kind="warn">${number(one.targets)} ${one.targets === 1 ? "target" : "targets"}<//> ${one.why}</dd>
        <dt>Plugin</dt><dd><a href=${link("plugins", one.plugin)}>${one.plugin}</a> <span class="dim mono" title=${one.digest}>${one.digest.slice(0, 19)}</span></dd>
        <dt>Event</dt><dd><a href=${link("why", one.event)}>event ${one.event}</a>${one.device && html` of <${DeviceLink} name=${one.device} />`}, <${Time} at=${one.since} /></dd></dl>
        <${Effects} label=${`Effects of ${one.id}`} of=${one.effects} />${more > 0 && html`<p class="dim">and ${number(more)} more effects</p>`}<//>`;
}

export function Approvals({ query }) {
    const list = useApi("/v1/approvals", { every: 3_000 });
    const [rejecting, reject] = useState(null);
    const submit = async ({ reason }) => {
        await call("POST", `${of(rejecting.id)}:reject`, reason ? { reason } : {});
        say(`The effects of ${rejecting.id} were dropped; its event is a dead letter.`);
        reject(null);
        list.reload();
    };
    const wanted = query.plugin ?? "";
    const all = list.data?.approvals ?? [];
    const names = [...new Set([...all.map((one) => one.plugin), ...(wanted ? [wanted] : [])])].sort();
    return html`<${Page} title="Approvals" hint="Effects that reach more targets than their plugin's limits allow, the oldest first. They wait for an operator, 24 hours at most.">
        <div class="card filters"><${Choice} label="Plugin" value=${wanted} options=${[["", "all"], ...names.map((name) => [name, name])]} onChange=${(plugin) => filter({ plugin })} /></div>
        <${Loaded} of=${list} empty=${() => all.every((one) => wanted && one.plugin !== wanted) && "Nothing waits for approval."}>${() => all.filter((one) => !wanted || one.plugin === wanted).map((one) => html`<${Waiting} key=${one.id} one=${one} reload=${list.reload} reject=${reject} />`)}<//>
        ${rejecting && html`<${Dialog} title=${`Reject ${rejecting.id}?`} close=${() => reject(null)}><p>None of its effects is carried out. Its event becomes a dead letter, which can be redriven.</p>
            <${Form} needs="admin" label="Reject" kind="danger" submit=${submit}><${Field} label="Reason (it is kept with the dead letter)" name="reason" /><//><//>`}<//>`;
}
