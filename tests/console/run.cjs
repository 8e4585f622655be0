// The console in a browser: `run.cjs URL TOKEN READ-TOKEN`. Says `ok NAME` for each part that is as it should be; the first that is not
// ends it with code 1. What only the test can do with the host is asked for on standard output (`ask WHAT`), and done when a line comes.

const readline = require("node:readline");
const { start } = require("./browser.cjs");
const parts = require("./parts.cjs");

const [base, token, readToken] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what) {
    console.log(`ask ${what}`);
    return (await lines.next()).value;
}

async function main() {
    const browser = await start(base);
    const given = { console: browser, page: browser.page, base, token, readToken, ask };
    for (const [name, part] of Object.entries(parts)) {
        const began = Date.now();
        const more = await part(given).catch(async (error) => {
            console.error(`the page shows: ${await browser.page.innerText("body").catch(() => "nothing")}`);
            throw error;
        });
        await browser.safe(name);
        console.log(`ok ${name} ${Date.now() - began} ms${more ? ` ${more}` : ""}`);
    }
    await browser.context.close();
    process.exit(0);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
