// @ts-check
// The page's modules. Each meets the elements that are its own as they appear; none leaves anything in `window`.
import "./theme.js";
import "./language.js";
import "./hints.js";
import "./settled.js";
import "./live.js";
import "./unseen.js";
import "./status.js";
import "./results.js";
import "./buttons.js";
import "./bar.js";
import "./forever.js";
import "./ends.js";
import "./aspect.js";
import "./forms.js";
import "./remembering.js";
import "./canvas/surfaces.js";
import "./drawboard.js";
import "./poseeditor.js";
import "./regions.js";
import "./prompt.js";
import "./desk/complete.js";
import "./desk/chips.js";
import "./shortcuts.js";
import "./presetbar.js";
import "./keysheet.js";
import "./firststeps.js";
import "./bring.js";
import "./styles.js";
import "./cards.js";
import "./examples.js";
import "./settings.js";
import "./memory.js";
import "./history.js";
import "./jobs.js";
import "./job_status.js";
import "./tokens.js";
import "./logins.js";
import "./about.js";
import { ready } from "./commands.js";

sessionStorage.removeItem("gesso_edition"); // Whatever kept an earlier page from its modules is over (`theme.py`).
ready();
