#!/usr/bin/env bash
# Fetches the libraries of the console from npm, in the versions that are pinned here, into assets/vendor/. Run it after a change of
# a version, and commit what it wrote. The only change to the files: hooks.js imports preact.js by its path, as the page has no
# import map (an import map is inline code), and the references to source maps are left out.
set -euo pipefail
cd "$(dirname "$0")/assets/vendor"
preact=10.29.8 htm=3.1.1 uplot=1.6.32
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in preact@$preact htm@$htm uplot@$uplot; do
    (cd "$work" && npm pack --silent "$package" >/dev/null && mkdir "${package%@*}" && tar xzf "${package/@/-}.tgz" -C "${package%@*}" --strip-components=1)
done
sed '/sourceMappingURL/d' "$work/preact/dist/preact.module.js" > preact.js
sed 's#from"preact"#from"./preact.js"#; /sourceMappingURL/d' "$work/preact/hooks/dist/hooks.module.js" > hooks.js
cp "$work/htm/dist/htm.module.js" htm.js
cp "$work/uplot/dist/uPlot.iife.min.js" uplot.js
cp "$work/uplot/dist/uPlot.min.css" uplot.css
{
    printf 'Preact %s (preact.js, hooks.js)\n\n' $preact && cat "$work/preact/LICENSE"
    printf '\n\n----\n\nuPlot %s (uplot.js, uplot.css)\n\n' $uplot && cat "$work/uplot/LICENSE"
    printf '\n\n----\n\nhtm %s (htm.js)\n\n' $htm && cat "$work/htm/LICENSE"
} > LICENSES.txt
