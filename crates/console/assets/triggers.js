// The triggers and grants of a plugin that match a device or an event. The host matches them: `GET /v1/plugins` with what they may match.

/// The address to read for an event as the API shows it.
export function matching({ kind = "", device = "", subfolder = "", topic = "" }) {
    return `/v1/plugins?${new URLSearchParams({ kind, device, subfolder, topic })}`;
}

const MAY = { read: "may see it", config: "may set its config", command: "may send it commands", method: "may call its methods" };

/// What the matches of a plugin mean to a device: `[{what, pattern}]`.
export function touches({ matches }) {
    const triggers = matches.triggers.map((pattern) => ({ what: `is triggered by its ${pattern.split(" ")[0]}`, pattern }));
    const grants = matches.grants.map((pattern) => ({ what: MAY[pattern.split(" ")[0]] ?? pattern.split(" ")[0], pattern }));
    return [...triggers, ...grants];
}
