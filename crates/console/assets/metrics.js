// The host's metrics that point to problems: limit hits, refused clients, panics.

const LINE = /^([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

/// `[{name, labels, value}]` of OpenMetrics' text.
export function parse(text) {
    const found = [];
    for (const line of text.split("\n")) {
        const match = LINE.exec(line);
        if (!match) continue;
        const labels = {};
        for (const [, name, value] of (match[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
        found.push({ name: match[1].replace(/^switchbox_/, ""), labels, value: Number(match[3]) });
    }
    return found;
}

/// The samples of a metric that are not zero, most first.
export function hits(metrics, name) {
    return metrics.filter((one) => one.name === name && one.value > 0).sort((a, b) => b.value - a.value);
}
