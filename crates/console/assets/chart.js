// A line chart over time, drawn by uPlot, with a text alternative.

import { html, useEffect, useRef } from "./html.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = ["--line-1", "--line-2", "--line-3"];

/// `lines`: `[{label, values}]`, one value or null for each of `times` (seconds).
export function Chart({ title, times, lines, unit = "" }) {
    const box = useRef();
    const plot = useRef();
    const show = (value) => (value == null ? "–" : `${value < 10 && value % 1 ? value.toFixed(1) : Math.round(value).toLocaleString("en-GB")}${unit}`);
    useEffect(() => {
        const dark = matchMedia("(prefers-color-scheme: dark)");
        const make = () => {
            plot.current?.destroy();
            const axis = { stroke: style("--dim"), grid: { stroke: style("--edge"), width: 1 }, ticks: { stroke: style("--edge"), width: 1 }, font: "11px sans-serif" };
            plot.current = new uPlot({
                width: box.current.clientWidth || 300, height: 150, cursor: { show: false }, legend: { show: false },
                scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
                axes: [{ ...axis, space: 64, values: (_, ticks) => ticks.map((at) => new Date(at * 1_000).toTimeString().slice(0, ticks[1] - ticks[0] < 60 ? 8 : 5)) }, { ...axis, size: 48 }],
                series: [{}, ...lines.map((line, n) => ({ label: line.label, stroke: style(COLOURS[n]), width: 1.5, points: { show: false } }))],
            }, [times, ...lines.map((line) => line.values)], box.current);
        };
        make();
        const sized = new ResizeObserver(() => plot.current?.setSize({ width: box.current.clientWidth, height: 150 }));
        sized.observe(box.current);
        dark.addEventListener("change", make);
        return () => {
            sized.disconnect();
            dark.removeEventListener("change", make);
            plot.current?.destroy();
            plot.current = undefined;
        };
    }, [lines.length]);
    useEffect(() => plot.current?.setData([times, ...lines.map((line) => line.values)]), [times, lines]);
    const words = lines.map((line) => {
        const known = line.values.filter((value) => value != null);
        return `${line.label}: now ${show(known.at(-1))}, most ${show(known.length ? Math.max(...known) : null)}`;
    });
    return html`<figure><figcaption>${title}</figcaption><div class="plot" ref=${box} role="img" aria-label=${`${title}. ${words.join("; ")}`}></div>
        <ul class="legend">${words.map((text, n) => html`<li class=${`line-${n + 1}`}>${text}</li>`)}</ul></figure>`;
}
