// A value that components subscribe to: they are redrawn when it changes.

import { useEffect, useState } from "./html.js";

export function store(value) {
    const listeners = new Set();
    return {
        get: () => value,
        set(next) {
            value = next;
            listeners.forEach((listener) => listener(next));
        },
        listen(listener) {
            listeners.add(listener);
            return () => listeners.delete(listener);
        },
    };
}

export function useStore(of) {
    const [value, set] = useState(of.get());
    useEffect(() => {
        set(of.get());
        return of.listen(set);
    }, [of]);
    return value;
}
