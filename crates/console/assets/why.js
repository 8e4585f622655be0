// Why something happened: the chain from its first cause to the acknowledgement, and the effects of an event. If an event has
// none, the page says why.

import { html } from "./html.js";
import { get } from "./api.js";
import { reading, useApi } from "./data.js";
import { Step, timeOf } from "./step.js";
import { Field, Loaded, Page, Section, span } from "./parts.js";
import { WhyNot } from "./why_not.js";
import { go } from "./route.js";

const HINTS = [["lamp-1", "the newest config of the device"], ["lamp-1@7", "its config version 7"], ["3", "event 3 and its effects"], ["3.wake", "what plugin wake made of event 3"], ["api.…", "a command or a call of an API caller"], ["deadLetters/3", "a dead letter"]];

function Hints() {
    return html`<${Section} title="What can be explained"><dl class="facts">${HINTS.map(([id, says]) => html`<dt><code>${id}</code></dt><dd>${says}</dd>`)}</dl><//>`;
}

/// The steps with the time from one to the next.
function Chain({ steps }) {
    return html`<ol class="chain" aria-label="Chain from the first cause">${steps.map((step, n) => {
        const [before, now] = [timeOf(steps[n - 1]), timeOf(step)];
        const after = before && now ? Date.parse(now) - Date.parse(before) : null;
        return html`<li class="step" key=${n}>${after !== null && after >= 0 && html`<span class="after">${span(after)} later</span>`}<${Step} step=${step} /></li>`;
    })}</ol>`;
}

function Branches({ branches, from }) {
    return html`<ol class="chain branches" aria-label="Effects">${branches.map((branch, n) => {
        const at = timeOf(branch);
        const after = from && at ? Date.parse(at) - Date.parse(from) : null;
        return html`<li class="step" key=${n}>${after !== null && after >= 0 && html`<span class="after">${span(after)} later</span>`}<${Step} step=${branch} />
            ${branch.branches && html`<${Branches} branches=${branch.branches} from=${at ?? from} />`}</li>`;
    })}</ol>`;
}

function Explained({ of }) {
    const last = of.chain.at(-1);
    const event = last?.event;
    return html`<${Section} title="Causes"><${Chain} steps=${of.chain} />${of.cut && html`<p class="dim">The chain is longer than shown.</p>`}<//>
        ${of.branches.length > 0 && html`<${Section} title="Effects"><${Branches} branches=${of.branches} from=${timeOf(last)} /><//>`}
        ${event && html`<${WhyNot} event=${event} branches=${of.branches} />`}
        <${Section} title="In words"><pre tabindex="0" aria-label="in words">${of.text}</pre><//>`;
}

export function Why({ what }) {
    const path = what && `/v1/explain/${what.split("/").map(encodeURIComponent).join("/")}`;
    const found = useApi(path && reading(path, (signal) => get(path, signal)));
    const ask = (event) => {
        event.preventDefault();
        go("why", new FormData(event.target).get("id").trim());
    };
    return html`<${Page} title=${what ? `Why ${what}?` : "Why?"} hint="The causes of a config, a command, a call or a dead letter, and the effects of an event.">
        <form class="card filters one" role="search" onSubmit=${ask} key=${what}><${Field} label="Of what" name="id" value=${what} required /><div class="actions"><button class="main">explain</button></div></form>
        ${what ? html`<${Loaded} of=${found} missing=${html`<${Hints} />`}>${(data) => html`<${Explained} of=${data} />`}<//>` : html`<${Hints} />`}<//>`;
}
