//! The result of each scene, and what is printed before the first and after the last.

use super::{
    host_location::HostLocation,
    printer::{Colour, Printer},
};

/// The result of one scene.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) scene: &'static str,
    pub(super) worked: bool,
    pub(super) text: String,
}

pub(super) fn title(location: &HostLocation, printer: &mut Printer) {
    let HostLocation { mqtt, admin, plugins, .. } = location;
    let title = printer.paint(Colour::Bold, "Switchbox demo");
    printer.line(&format!("{title}: a host on {mqtt}, its API on {admin}, plugins in {}", plugins.display()));
}

/// Prints the results; returns true if all scenarios worked.
pub(super) fn conclude(printer: &mut Printer, verdicts: &[Verdict]) -> bool {
    printer.line("");
    printer.line(&printer.paint(Colour::Bold, "What happened"));
    for verdict in verdicts {
        let (sign, colour) = if verdict.worked { ("✓", Colour::Green) } else { ("✗", Colour::Red) };
        let sign = printer.paint(colour, sign);
        printer.line(&format!("  {sign} {:<14}{}", verdict.scene, verdict.text));
    }
    verdicts.iter().all(|verdict| verdict.worked)
}
