// The list of pages. A hidden page is reached by links; `needs` is the scope of the token that can read it; `whole` pages
// are rebuilt when their object changes.

import { Access } from "./access.js";
import { Approvals } from "./approvals.js";
import { DeadLetters } from "./dead_letters.js";
import { Device } from "./device.js";
import { Devices } from "./devices.js";
import { Graph } from "./graph.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";
import { Plugins } from "./plugins.js";
import { Topics } from "./topics.js";
import { Why } from "./why.js";

export const pages = [
    { page: "overview", title: "Overview", component: Overview },
    { page: "devices", title: "Devices", component: Devices },
    { page: "device", title: "Device", component: Device, whole: true, hidden: true },
    { page: "live", title: "Live", component: Live },
    { page: "why", title: "Why", component: Why, whole: true },
    { page: "graph", title: "Graph", component: Graph },
    { page: "plugins", title: "Plugins", component: Plugins, whole: true },
    { page: "approvals", title: "Approvals", component: Approvals },
    { page: "dead-letters", title: "Dead letters", component: DeadLetters, whole: true },
    { page: "topics", title: "Topics", component: Topics },
    { page: "access", title: "Access", component: Access, needs: "admin" },
];
