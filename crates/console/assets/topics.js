// Ordinary topics: the tree of retained and of live messages, and manual publishing.

import { html, useMemo, useRef, useState } from "./html.js";
import { call, may } from "./api.js";
import { useApi } from "./data.js";
import { Flow } from "./live.js";
import { encode } from "./payload.js";
import { Action, Badge, Choice, Field, Form, Loaded, Page, Payload, Section, clock, inline, say } from "./parts.js";
import { filter } from "./route.js";
import { PER_SECOND, useFollow } from "./stream.js";

/// Stored topics of live messages.
const MOST = 500;
const PAGE = 500;

/// Nodes by level: `{children, message}`.
function treeOf(messages) {
    const root = { children: new Map() };
    for (const message of messages) {
        let at = root;
        for (const level of message.topic.split("/")) {
            if (!at.children.has(level)) at.children.set(level, { children: new Map() });
            at = at.children.get(level);
        }
        at.message = message;
    }
    return root;
}

const countOf = (node) => (node.message ? 1 : 0) + [...node.children.values()].reduce((sum, child) => sum + countOf(child), 0);

function Leaf({ message, reload }) {
    const clear = async () => {
        await call("POST", "/v1/topics:publish", { topic: message.topic, retain: true });
        reload();
    };
    return html`<div class="box"><div class="top"><code>${message.topic}</code> ${message.retain && html`<${Badge} kind="good">retained<//>`} <span class="dim">QoS ${message.qos}</span> ${message.time && html`<span class="dim mono">${clock(message.time)}</span>`}
        ${message.retain && html`<${Action} kind="danger" run=${clear} done="The retained message was removed.">remove<//>`}</div><${Payload} data=${message.binaryData} /></div>`;
}

function Node({ name, node, reload }) {
    const children = [...node.children].sort(([a], [b]) => a.localeCompare(b));
    if (children.length === 0) return html`<li><details><summary><span class="mono">${name || "(empty)"}</span> <span class="dim mono">${inline(node.message.binaryData, 80)}</span></summary><${Leaf} message=${node.message} reload=${reload} /></details></li>`;
    return html`<li><details open=${children.length < 12}><summary><span class="mono">${name || "(empty)"}/</span> <span class="dim">${countOf(node)}</span></summary>${node.message && html`<${Leaf} message=${node.message} reload=${reload} />`}
        <ul>${children.map(([level, child]) => html`<${Node} key=${level} name=${level} node=${child} reload=${reload} />`)}</ul></details></li>`;
}

function Publish({ done }) {
    const submit = async ({ topic, payload, qos, retain }) => {
        await call("POST", "/v1/topics:publish", { topic, binaryData: encode(payload), qos: Number(qos), retain: retain === "on" });
        say(`Published on ${topic}.`);
        done();
    };
    return html`<${Section} title="Publish"><${Form} label="Publish" submit=${submit}><${Field} label="Topic" name="topic" required /><${Field} label="Payload">${(id) => html`<textarea id=${id} name="payload" spellcheck="false"></textarea>`}<//>
        <${Choice} label="QoS" name="qos" value="0" options=${[["0", "0"], ["1", "1"], ["2", "2"]]} /><label class="check"><input type="checkbox" name="retain" /> retain it</label><//><//>`;
}

export function Topics({ query }) {
    const wanted = query.filter || "#";
    const paused = query.paused === "yes";
    const retained = useApi(`/v1/topics?pageSize=${PAGE}&filter=${encodeURIComponent(wanted)}`, { every: 10_000 });
    const flow = useFollow(`/v1/topics:follow?perSecond=${PER_SECOND}&filter=${encodeURIComponent(wanted)}`, paused);
    const came = useRef({ wanted, topics: new Map() });
    if (came.current.wanted !== wanted) came.current = { wanted, topics: new Map() };
    const tree = useMemo(() => {
        const topics = came.current.topics;
        for (const { item } of [...flow.rows].reverse()) {
            topics.delete(item.topic);
            topics.set(item.topic, { ...item, retain: false });
        }
        while (topics.size > MOST) topics.delete(topics.keys().next().value);
        return treeOf([...topics.values(), ...(retained.data?.messages ?? [])]);
    }, [flow.rows, retained.data]);
    const submit = (event) => {
        event.preventDefault();
        filter({ filter: new FormData(event.target).get("filter").trim() });
    };
    const actions = html`<button class=${paused ? "main" : ""} aria-pressed=${paused} onClick=${() => filter({ paused: paused ? "" : "yes" }, { replace: true })}>${paused ? "resume" : "pause"}</button>`;
    return html`<${Page} title="Topics" hint="Ordinary topics: retained messages, and messages published while this page is open." actions=${actions}>
        <form class="card filters one" role="search" onSubmit=${submit} key=${wanted}><${Field} label="Topic filter (+ is one level, a final # any number)" name="filter" value=${wanted} /><div class="actions"><button class="main">subscribe</button></div></form>
        <div class="columns"><section class="card" aria-label="Tree"><${Flow} of=${flow} /><${Loaded} of=${retained}>${(data) => html`${data.nextPageToken && html`<p class="dim">The first ${PAGE} retained messages are shown: choose a narrower filter.</p>`}
            ${tree.children.size === 0 ? html`<p class="dim">There are no retained messages, and no messages yet.</p>` : html`<ul class="tree">${[...tree.children].sort(([a], [b]) => a.localeCompare(b)).map(([level, node]) => html`<${Node} key=${level} name=${level} node=${node} reload=${retained.reload} />`)}</ul>`}`}<//></section>
        ${may("operate") && html`<${Publish} done=${retained.reload} />`}</div><//>`;
}
