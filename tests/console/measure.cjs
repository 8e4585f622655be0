// Pages of the console for tests/measure/console.py: `measure.cjs URL TOKEN`. Does what each line of standard input says, and answers
// with one line of JSON.

const readline = require("node:readline");
const { Console, start } = require("./browser.cjs");

const [base, token] = process.argv.slice(2);
const pages = [];

/// A page of its own, logged in: session storage is each tab's own.
async function open(context, hash, title) {
    const one = new Console(base, context, await context.newPage());
    await one.logIn(token);
    await one.open(hash, title);
    pages.push(one);
    return one;
}

const work = {
    /// Milliseconds from a reload until the overview shows that there are so many devices.
    async view(first, count) {
        await first.page.evaluate(() => { location.hash = "#/overview"; });
        const began = Date.now();
        await first.page.reload();
        await first.page.getByRole("definition").filter({ hasText: count }).waitFor();
        return Date.now() - began;
    },
    /// So many pages that show all events.
    async live(first, count) {
        for (let n = 0; n < Number(count); n += 1) {
            const { page } = await open(first.context, "#/live", "Live");
            await page.getByText("live", { exact: true }).waitFor();
        }
        return pages.length;
    },
    async close() {
        while (pages.length) await pages.pop().page.close();
        return 0;
    },
    /// The heap of the newest page after a collection, its rows, and what it says of the stream.
    async heap() {
        const { page } = pages.at(-1);
        return page.evaluate(() => {
            for (let n = 0; n < 3; n += 1) globalThis.gc();
            const nodes = document.getElementsByTagName("*").length;
            return { bytes: performance.memory.usedJSHeapSize, nodes, rows: document.querySelectorAll(".live li").length, says: document.querySelector("p.hint[role=status]").innerText };
        });
    },
};

async function main() {
    const first = await start(base);
    await first.logIn(token);
    console.log(JSON.stringify("ready"));
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const [what, ...given] = line.split(" ");
        console.log(JSON.stringify(await work[what](first, ...given)));
    }
    await first.context.close();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
