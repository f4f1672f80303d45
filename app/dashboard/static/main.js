// Everything here is an addition: each page works without it.
import { startCharts } from "./charts.js";
import { startDialogs } from "./dialogs.js";
import { startForms } from "./forms.js";
import { startLive } from "./live.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";
import { startSmallThings } from "./small.js";

startTheme();
startSmallThings();
startTimes();
startDialogs();
startForms();
startCharts();
startLive();
