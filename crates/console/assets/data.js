// Reading the API from a component: data stays while it is reloaded, and a hidden page reads nothing.

import { useCallback, useEffect, useRef, useState } from "./html.js";
import { epoch, get } from "./api.js";
import { useStore } from "./store.js";

/// `{data, error, loading, reload}` of a path, or of a function that takes a signal; null reads nothing. `every`: milliseconds.
export function useApi(what, { every } = {}) {
    const [state, setState] = useState({ loading: true });
    const [asked, setAsked] = useState(0);
    const era = useStore(epoch);
    const reload = useCallback(() => setAsked((n) => n + 1), []);
    const key = typeof what === "function" ? what.key : what;
    const read = useRef(what);
    const shown = useRef(key);
    read.current = what;
    useEffect(() => {
        if (!key) return undefined;
        const stop = new AbortController();
        let timer;
        if (shown.current !== key) setState({ loading: true });
        shown.current = key;
        const look = async () => {
            if (!document.hidden) {
                try {
                    const data = await (typeof read.current === "function" ? read.current(stop.signal) : get(read.current, stop.signal));
                    if (!stop.signal.aborted) setState({ data, loading: false });
                } catch (error) {
                    if (stop.signal.aborted) return;
                    setState((before) => ({ data: before.data, error, loading: false }));
                }
            }
            if (every && !stop.signal.aborted) timer = setTimeout(look, every);
        };
        look();
        const seen = () => {
            if (every && !document.hidden) {
                clearTimeout(timer);
                look();
            }
        };
        document.addEventListener("visibilitychange", seen);
        return () => {
            stop.abort();
            clearTimeout(timer);
            document.removeEventListener("visibilitychange", seen);
        };
    }, [key, asked, era, every]);
    return { ...state, reload };
}

/// A function for `useApi`, with what it depends on.
export function reading(key, read) {
    return Object.assign(read, { key });
}

/// The time, for relative times, which are drawn again every ten seconds.
export function useNow() {
    const [, tick] = useState(0);
    useEffect(() => {
        const timer = setInterval(() => tick((n) => n + 1), 10_000);
        return () => clearInterval(timer);
    }, []);
    return Date.now();
}
