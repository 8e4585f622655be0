// What runs beside a plugin, or is watched: a shadow, whose effects are compared and not carried out; a canary, which acts for some
// devices; and a new version under guard.

import { html } from "./html.js";
import { call, get, may } from "./api.js";
import { reading, useApi } from "./data.js";
import { link } from "./names.js";
import { fileBase64 } from "./payload.js";
import { Action, Badge, Choice, DeviceLink, Field, Form, Loaded, Section, Table, Time, number, say, span } from "./parts.js";

/// Shares of devices that are offered as the next step, in percent.
const STEPS = [5, 10, 25, 50, 100];

const of = (name) => `/v1/plugins/${encodeURIComponent(name)}`;
const percent = (share) => `${Number((share * 100).toFixed(2))} %`;

/// Null where none is known of the plugin. Shadows end with the host; canaries do not.
const status = (path) => reading(path, async (signal) => {
    try {
        return await get(path, signal);
    } catch (error) {
        if (error.status === 404) return null;
        throw error;
    }
});

/// The files of a candidate, in a form. What is as it is in force is not sent.
function Files({ name }) {
    const versions = useApi(`${of(name)}/versions`);
    const now = versions.data?.versions.find((one) => one.inForce)?.settings;
    return html`<${Field} label="Component (.wasm); none: the one in force" name="file" type="file" accept=".wasm" />
        <${Field} label="Settings file (TOML)">${(id) => html`<textarea id=${id} name="settings" key=${now === undefined} spellcheck="false">${now ?? ""}</textarea><input type="hidden" name="before" value=${now ?? ""} />`}<//>`;
}

async function files({ file, settings, before }) {
    const same = settings.replaceAll("\r\n", "\n") === before.replaceAll("\r\n", "\n");
    return { ...(file?.size > 0 && { component: await fileBase64(file) }), ...(!same && { settings }) };
}

const State = ({ of: { ended, endedTime } }) => (ended ? html`<${Badge}>ended<//> ${endedTime && html`<${Time} at=${endedTime} />: `}${ended}` : html`<${Badge} kind="good">running<//>`);
const Digest = ({ of: { digest, since } }) => html`<span class="mono" title=${digest}>${digest.slice(0, 19)}</span>, since <${Time} at=${since} />`;

function Examples({ of: list }) {
    return list.length > 0 && html`<${Table} label="Events that it handled differently" head=${["Event", "Device", "Kind", "Difference"]}>${list.map((one) => html`<tr key=${one.event}><td><a href=${link("why", one.event)}>${one.event}</a></td><td>${one.device && html`<${DeviceLink} name=${one.device} />`}</td>
        <td>${one.kind}</td><td><pre tabindex="0" aria-label=${`differences of event ${one.event}`}>${one.differs.join("\n")}</pre></td></tr>`)}<//>`;
}

function Report({ of: report }) {
    const parts = [["equal", "equal"], ["different", "different"], ["onlyOld", "with effects or calls of the version in force only"], ["onlyNew", "with effects or calls of the candidate only"], ["errors", "in which the candidate failed"]];
    const kinds = Object.entries(report.kinds).sort((a, b) => b[1] - a[1]);
    return html`<dl class="facts"><dt>State</dt><dd><${State} of=${report} /></dd><dt>Candidate</dt><dd><${Digest} of=${report} />; it sees ${percent(report.share)} of the devices</dd>
        <dt>Events</dt><dd>${number(report.events)}: ${parts.filter(([key]) => key === "equal" || Number(report[key])).map(([key, text]) => `${number(report[key])} ${text}`).join(", ")}</dd>
        ${(Number(report.dropped) > 0 || Number(report.queued) > 0) && html`<dt>Not compared</dt><dd>${number(report.queued)} wait, ${number(report.dropped)} were dropped, because it was too slow</dd>`}
        <dt>Time for an event</dt><dd>${number(report.newMicros)} µs on average; the version in force takes ${number(report.oldMicros)} µs</dd>
        <dt>Memory</dt><dd>${number(Math.round(report.memoryBytes / 1024))} KiB at most for an instance of the candidate</dd>
        ${kinds.length > 0 && html`<dt>Differences</dt><dd>${kinds.map(([kind, count]) => html`<div key=${kind}>${kind}: ${number(count)}</div>`)}</dd>`}</dl><${Examples} of=${report.examples} />`;
}

function Shadow({ name, runs }) {
    const path = `${of(name)}/shadow`;
    const found = useApi(status(path), { every: 2_000 });
    const begin = async (fields) => {
        await call("POST", `${of(name)}:shadow`, { ...(await files(fields)), ...(fields.percent && { share: fields.percent / 100 }) });
        say("The shadow sees the plugin's events from now on. Its effects are not carried out.");
        found.reload();
    };
    const stop = async () => {
        await call("POST", `${of(name)}:stopShadow`, {});
        found.reload();
    };
    const going = found.data && !found.data.ended;
    return html`<${Section} title="Shadow" actions=${going && html`<${Action} needs="admin" run=${stop}>stop the shadow<//>`}><p class="hint">A candidate that sees the plugin's events. Its effects and method calls are compared with those of the version in force, and not carried out. It ends with the host.</p>
        <${Loaded} of=${found}>${(report) => html`${report && html`<${Report} of=${report} />`}${!going && may("admin") && runs && html`<details><summary>Start ${report ? "another" : "a"} shadow</summary><${Form} needs="admin" label="Start the shadow" submit=${begin}><${Files} name=${name} />
            <${Field} label="Devices that it sees, in percent" name="percent" type="number" min="0.01" max="100" step="any" value="100" /><//></details>`}${!report && !(may("admin") && runs) && html`<p class="dim">It has none.</p>`}`}<//><//>`;
}

/// The devices of a canary, in a form.
const scope = ({ by, which }) => {
    if (by === "devices") return { devices: which };
    const share = Number(which.replace("%", "")) / 100;
    if (!(share > 0 && share <= 1)) throw new Error("A share is more than 0 and at most 100 percent.");
    return { share };
};
const Scope = () => html`<${Choice} label="It acts for" name="by" value="share" options=${[["share", "a share of the devices, in percent"], ["devices", "devices whose ids match a pattern"]]} />
    <${Field} label="Percent or pattern" name="which" required placeholder="10 or sensor-lab-*" />`;

function Fares({ of: canary }) {
    return html`<dl class="facts"><dt>State</dt><dd><${State} of=${canary} /></dd><dt>Candidate</dt><dd><${Digest} of=${canary} /></dd>
        <dt>It acts for</dt><dd>${canary.devices ? html`devices <code>${canary.devices}</code>` : `${percent(canary.share)} of the devices`}</dd>
        <dt>Events</dt><dd>${number(canary.events)}: ${number(canary.traps)} traps, ${number(canary.errors)} rejected or to be retried, ${number(canary.deadLetters)} dead letters</dd>
        <dt>Time for an event</dt><dd>${number(canary.medianMicros)} µs (median); the version in force takes ${number(canary.inForceMedianMicros)} µs</dd></dl>`;
}

function Canary({ name, runs, done }) {
    const found = useApi(status(`${of(name)}/canary`), { every: 2_000 });
    const post = async (verb, body, text) => {
        await call("POST", `${of(name)}:${verb}`, body);
        say(text);
        found.reload();
    };
    const begin = async (fields) => post("canary", { ...(await files(fields)), ...scope(fields) }, "The canary acts for its devices from now on.");
    const step = (body) => post("canary", body, "The canary acts for other devices from now on.");
    const promote = async () => {
        await post("promoteCanary", {}, "It was written into the plugin folder; the host loads it now, for all devices.");
        done();
    };
    const canary = found.data;
    const going = canary && !canary.ended;
    const actions = going && html`<${Action} needs="admin" kind="main" run=${promote}>put in force for all<//><${Action} needs="admin" kind="danger" run=${() => post("abortCanary", {}, "The version in force acts for all devices again.")}>abort<//>`;
    const steps = STEPS.filter((one) => !going || canary.share === undefined || one / 100 > canary.share + 1e-9);
    return html`<${Section} title="Canary" actions=${actions}><p class="hint">A candidate that acts for some devices, while the version in force acts for the others. It continues after a restart of the host.</p>
        <${Loaded} of=${found}>${() => html`${canary && html`<${Fares} of=${canary} />`}
            ${going && may("admin") && html`<div class="actions" role="group" aria-label="Next step">${steps.map((one) => html`<${Action} key=${one} needs="admin" run=${() => step({ share: one / 100 })}>act for ${one} %<//>`)}</div>
                <details><summary>Other devices</summary><${Form} needs="admin" label="Change its devices" submit=${async (fields) => step(scope(fields))}><${Scope} /><//></details>`}
            ${!going && may("admin") && runs && html`<details><summary>Start ${canary ? "another" : "a"} canary</summary><${Form} needs="admin" label="Start the canary" submit=${begin}><${Files} name=${name} /><${Scope} /><//></details>`}
            ${!canary && !(may("admin") && runs) && html`<p class="dim">It has none.</p>`}`}<//><//>`;
}

/// The window in which a new version may be rolled back.
export function Guard({ of: guard }) {
    const left = Math.max(0, Date.parse(guard.since) + guard.seconds * 1_000 - Date.now());
    return html`<${Section} title="Under guard"><p class="hint">The version is new. If it fails as its <code>[guard]</code> says, the host brings the one before it back.</p>
        <dl class="facts"><dt>In force</dt><dd>since <${Time} at=${guard.since} /></dd><dt>Until</dt><dd>${number(guard.ofEvents)} events were handled and ${span(guard.seconds * 1_000)} have passed: ${number(guard.events)} so far${left > 0 ? `, ${span(left)} left` : ""}</dd>
        <dt>So far</dt><dd>${number(guard.traps)} traps, ${number(guard.errors)} rejected or to be retried, ${number(guard.deadLetters)} dead letters</dd></dl><//>`;
}

export function Candidates({ plugin, done }) {
    const runs = plugin.state === "running";
    return html`<div class="columns"><${Shadow} name=${plugin.name} runs=${runs} /><${Canary} name=${plugin.name} runs=${runs} done=${done} /></div>`;
}
