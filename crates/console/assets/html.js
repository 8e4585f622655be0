// What all modules draw with: Preact's elements, written as templates. Text in a template is always text, never markup.

import { Fragment, h, render } from "./vendor/preact.js";
import { useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { Fragment, render, useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState };
