// Live events. The page takes a sample if there are too many, keeps the last few hundred, and shows how many
// it left out, so that its memory is bounded. It reconnects at the last event, and reads nothing while it is hidden.

import { useEffect, useRef, useState } from "./html.js";
import { stream } from "./api.js";

/// The highest rate of messages per second that is requested from the host.
export const PER_SECOND = 40;
/// Stored messages.
const KEPT = 300;
/// Stored characters of one message.
const MOST = 8_192;
/// The interval at which the list is redrawn.
const DRAW_MS = 250;

/// Splits a stream of server-sent events; calls `take(id, kind, data)` for each.
export async function read(reader, take, signal) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
        const { value, done } = await reader.read();
        if (done || signal.aborted) return;
        rest += decoder.decode(value, { stream: true });
        let end = rest.indexOf("\n\n");
        for (; end >= 0; end = rest.indexOf("\n\n")) {
            const fields = {};
            for (const line of rest.slice(0, end).split("\n")) {
                const colon = line.indexOf(": ");
                if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
            }
            rest = rest.slice(end + 2);
            if (fields.event) take(fields.id, fields.event, fields.data);
        }
    }
}

/// A message as it is stored: a large payload is cut, because the page of the event has all of it.
function kept(kind, data) {
    const item = JSON.parse(data);
    if (data.length > MOST && item.binaryData) item.binaryData = item.binaryData.slice(0, 2_048);
    if (data.length > MOST && item.effects) item.effects = [];
    return { kind, item };
}

/// Collects the messages that arrive between two redraws. `takes(message)` selects those that are shown.
function collect(takes) {
    let [rows, number, count, left, missed] = [[], 0, 0, 0, 0];
    let [changed, state, drawnRate, lastId] = [true, "connecting", 0, undefined];
    // Two seconds.
    let rounds = Array(8).fill(0);
    return {
        lastId: () => lastId,
        state: () => state,
        setState(next) {
            [state, changed] = [next, true];
        },
        take(id, kind, data) {
            lastId = id ?? lastId;
            if (kind === "sampled") left += JSON.parse(data).leftOut;
            else if (kind === "missed") missed += Number(JSON.parse(data).events);
            else {
                const one = kept(kind, data);
                count += 1;
                if (takes(one)) rows = [{ ...one, key: number++ }, ...rows].slice(0, KEPT);
            }
            changed = true;
        },
        /// The messages since the last call, newest first, and the counts; null if there is nothing new to draw.
        drain() {
            rounds = [...rounds, count + left + missed].slice(-8);
            const rate = Math.round((rounds.at(-1) - rounds[0]) / ((rounds.length - 1) * (DRAW_MS / 1_000)));
            if (!changed && rate === drawnRate) return null;
            const fresh = rows;
            [rows, changed, drawnRate] = [[], false, rate];
            return { fresh, state, left: left + missed, rate };
        },
    };
}

/// Waits until the page is visible, or for a second if it is.
function pause(messages) {
    if (document.hidden) return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    if (!messages.state().startsWith("refused")) messages.setState("reconnecting");
    return new Promise((resolve) => setTimeout(resolve, 1_000));
}

/// Reads the stream into `messages` and connects again when it ends. Returns a function that ends this.
function follow(path, messages) {
    let stop = new AbortController();
    let over = false;
    const run = async () => {
        while (!over) {
            stop = new AbortController();
            try {
                const reader = await stream(path, { signal: stop.signal, lastId: messages.lastId() });
                messages.setState("live");
                await read(reader, messages.take, stop.signal);
            } catch (error) {
                if (error.status && error.status !== 0) {
                    messages.setState(`refused: ${error.message}`);
                    if (error.status !== 429) return;
                }
            }
            if (over) return;
            await pause(messages);
        }
    };
    // A browser has six connections for all its tabs together, and this is one of them.
    const hide = () => document.hidden && stop.abort();
    document.addEventListener("visibilitychange", hide);
    run();
    return () => {
        over = true;
        stop.abort();
        document.removeEventListener("visibilitychange", hide);
    };
}

/// `{rows, state, left, rate}`: newest first; how many the host left out, and how many arrive per second.
export function useFollow(path, paused, takes) {
    const [shown, setShown] = useState({ rows: [], state: "connecting", left: 0, rate: 0 });
    const takesNow = useRef(takes);
    takesNow.current = takes;
    useEffect(() => {
        setShown({ rows: [], state: paused ? "paused" : "connecting", left: 0, rate: 0 });
    }, [path]);
    useEffect(() => {
        if (paused) {
            setShown((before) => ({ ...before, state: "paused", rate: 0 }));
            return undefined;
        }
        const messages = collect((one) => !takesNow.current || takesNow.current(one));
        const end = follow(path, messages);
        const draw = setInterval(() => {
            const drained = messages.drain();
            if (!drained) return;
            const { fresh, state, left, rate } = drained;
            setShown((before) => ({ rows: fresh.length ? [...fresh, ...before.rows].slice(0, KEPT) : before.rows, state, left, rate }));
        }, DRAW_MS);
        return () => {
            end();
            clearInterval(draw);
        };
    }, [path, paused]);
    return shown;
}
