// The desired and reported documents side by side, with the differences marked.

import { html, useState } from "./html.js";
import { call, may, text } from "./api.js";
import { reading, useApi } from "./data.js";
import { devicePath, link } from "./names.js";
import { encode } from "./payload.js";
import { Badge, Field, Form, Loaded, Payload, Section, Table, Time, say } from "./parts.js";

/// A document of the twin: its lines with the places of what they show. If this language cannot hold a number in it, the text as the host
/// wrote it, as one line.
function side(raw, twin, name) {
    const exact = !/\d{16}|\d[eE]/.test(raw);
    return exact ? lines(twin[name] ?? null) : [{ at: null, text: slice(raw, name) }];
}

/// JSON with indents: `[{at, text}]` with the JSON pointer of each line.
function lines(value, at = "", before = "", after = "") {
    const inner = value && typeof value === "object" ? Object.entries(value) : [];
    if (inner.length === 0) return [{ at, text: `${before}${JSON.stringify(value)}${after}` }];
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    const indent = `${/^ */.exec(before)[0]}  `;
    const member = ([key, one], n) => lines(one, `${at}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, Array.isArray(value) ? indent : `${indent}${JSON.stringify(key)}: `, n + 1 < inner.length ? "," : "");
    return [{ at, text: `${before}${open}` }, ...inner.flatMap(member), { at, text: `${indent.slice(2)}${close}${after}` }];
}

/// A document with the lines marked in which both differ.
function Document({ of, differs, label }) {
    const marks = (at) => at !== null && differs.some(({ path }) => at === path || at.startsWith(`${path}/`));
    return html`<pre class="twin" tabindex="0" aria-label=${label}>${of.map(({ at, text: line }, n) => (marks(at) ? html`<ins key=${n}>${`${line}\n`}</ins>` : `${line}\n`))}</pre>`;
}

/// The text of one member of a JSON object.
function slice(raw, name) {
    let at = raw.indexOf(`"${name}":`) + name.length + 3;
    const from = at;
    let [depth, quoted] = [0, false];
    for (; at < raw.length; at += 1) {
        const c = raw[at];
        if (quoted) {
            if (c === "\\") at += 1;
            else if (c === '"') quoted = false;
        } else if (c === '"') quoted = true;
        else if (c === "{" || c === "[") depth += 1;
        else if (c === "}" || c === "]") {
            depth -= 1;
            if (depth <= 0) return raw.slice(from, depth < 0 ? at : at + 1);
        } else if (c === "," && depth === 0) return raw.slice(from, at);
    }
    return raw.slice(from);
}

const shown = (value) => (value === undefined ? "nothing" : JSON.stringify(value));

function Differences({ twin }) {
    if (twin.desiredProblem || twin.reportedProblem) return html`<p class="problem">Not compared: ${twin.desiredProblem ?? twin.reportedProblem}</p>`;
    if (!twin.differs?.length) return html`<p class="fine">The reported document matches the desired one.</p>`;
    return html`<${Table} label="Differences" head=${["Where", "Desired", "Reported", "Since"]}>${twin.differs.map((one) => html`<tr key=${one.path}><td class="mono">${one.path}</td><td><ins class="mono">${shown(one.desired)}</ins></td><td class="mono">${shown(one.reported)}</td><td><${Time} at=${one.since} />${one.orBefore && " or before"}</td></tr>`)}<//>
        ${twin.differsLeftOut && html`<p class="dim">and ${twin.differsLeftOut} more</p>`}`;
}

function Edit({ name, version, done }) {
    const [way, setWay] = useState("patch");
    // The version in force when the user began to write. The page is read again while they write.
    const [begun, setBegun] = useState(null);
    const at = begun ?? version;
    // The host takes version 0 as any, so there is nothing to compare a first config with.
    const whole = at !== "0";
    const asPatch = way === "patch" || !whole;
    const write = ({ target }) => setBegun(target.value === "" ? null : at);
    const submit = async ({ document }) => {
        if (asPatch) {
            JSON.parse(document);
            const twin = await call("PATCH", devicePath(name, "/twin"), undefined, { body: document, type: "application/json" });
            setBegun(twin.desiredVersion);
        } else {
            const config = await call("POST", devicePath(name, ":modifyCloudToDeviceConfig"), { binaryData: encode(document), versionToUpdate: at });
            setBegun(config.version);
        }
        say("The desired document was changed.");
        done();
    };
    if (!may("operate")) return html`<p class="hint">This token is read-only.</p>`;
    return html`<${Form} label="Send" submit=${submit}><fieldset class="actions"><legend class="dim">Change desired</legend>
        <label class="check"><input type="radio" name="way" checked=${asPatch} onChange=${() => setWay("patch")} /> by a merge patch, which changes only the members that it names</label>
        ${whole && html`<label class="check"><input type="radio" name="way" checked=${!asPatch} onChange=${() => setWay("all")} /> as a whole, if version ${at} is still in force</label>`}</fieldset>
        ${!asPatch && Number(at) < Number(version) && html`<p class="problem">Version ${version} is in force now. Read it, then empty the field to replace it.</p>`}
        <${Field} label=${asPatch ? "JSON merge patch; null removes a member" : "The whole config"}>${(id) => html`<textarea id=${id} name="document" required spellcheck="false" placeholder='{"light": {"level": 40}}' onInput=${write}></textarea>`}<//><//>`;
}

function Versions({ name, twin }) {
    const configs = useApi(devicePath(name, "/configVersions"));
    return html`<${Section} title="Stored config versions" key=${twin.desiredVersion}><${Loaded} of=${configs} empty=${(data) => !data.deviceConfigs?.length && "None."}>${(data) => html`<${Table} label="Config versions" head=${["Version", "Made", "Acknowledged", "Config", ""]}>
        ${data.deviceConfigs.map((one) => html`<tr key=${one.version}><td>${one.version}</td><td><${Time} at=${one.cloudUpdateTime} /></td><td><${Time} at=${one.deviceAckTime} /></td><td><${Payload} data=${one.binaryData} pretty=${false} /></td><td><a href=${link("why", `${name}@${one.version}`)}>why?</a></td></tr>`)}<//>`}<//><//>`;
}

export function Twin({ name }) {
    const path = devicePath(name, "/twin");
    const found = useApi(reading(path, async (signal) => {
        const raw = await text(path, signal);
        const twin = JSON.parse(raw);
        return { twin, differs: twin.differs ?? [], desired: side(raw, twin, "desired"), reported: side(raw, twin, "reported") };
    }), { every: 3_000 });
    return html`<${Loaded} of=${found}>${({ twin, differs, desired, reported }) => html`
        <${Section} title="Differences"><${Differences} twin=${twin} /><//>
        <div class="columns"><${Section} title="Desired" actions=${html`<span class="dim">version ${twin.desiredVersion}</span>`}>
                <p class="hint">made <${Time} at=${twin.desiredTime} /> ${twin.desiredVersion !== "0" && (twin.acknowledgedVersion === twin.desiredVersion ? html`<${Badge} kind="good">acknowledged<//>` : html`<${Badge} kind="warn">not yet acknowledged<//>`)} ${twin.desiredVersion !== "0" && html`<a href=${link("why", name)}>why?</a>`}</p>
                <${Document} of=${desired} differs=${differs} label="desired" /></${Section}>
            <${Section} title="Reported" actions=${html`<span class="dim">version ${twin.reportedVersion}</span>`}><p class="hint">${twin.reportedTime ? html`reported <${Time} at=${twin.reportedTime} />` : "The device has not reported anything yet."}</p>
                <${Document} of=${reported} differs=${differs} label="reported" /></${Section}></div>
        <${Section} title="Edit"><${Edit} name=${name} version=${twin.desiredVersion} done=${found.reload} /><//><${Versions} name=${name} twin=${twin} key=${twin.desiredVersion} />`}<//>`;
}
