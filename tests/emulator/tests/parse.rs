//! Every PTX text that a card has run can be read: the programs beside the recordings, and every case in its frame.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use cuda_emulator::parse::parse;
use cuda_emulator::parse::syntax::{Initial, Linkage, Number, Space, Statement};
use serde_json::Value;

fn hardware() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/hardware"))
}

fn filled(text: &str, code: &str) -> String {
    text.replace("{version}", "7.8").replace("{target}", "sm_90").replace("{code}", code)
}

fn program(name: &str) -> cuda_emulator::parse::syntax::Module {
    let text = std::fs::read_to_string(hardware().join("ptx").join(name)).unwrap();
    parse(&filled(&text, "")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_program_is_read() {
    let files = std::fs::read_dir(hardware().join("ptx")).unwrap();
    let names =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).filter(|name| name.ends_with(".ptx"));
    let mut count = 0;
    for name in names {
        assert!(program(&name).functions.iter().any(|function| function.entry), "{name} has a kernel");
        count += 1;
    }
    assert!(count >= 13, "{count} programs");
}

#[test]
fn every_recorded_case_is_read() {
    let mut cases = 0;
    for file in std::fs::read_dir(hardware().join("recordings")).unwrap() {
        let file = file.unwrap().path();
        let recording: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let (Some(frames), Some(all)) = (recording["frames"].as_object(), recording["cases"].as_array()) else {
            continue;
        };
        for case in all {
            let (Some(frame), Some(code)) = (case["frame"].as_str(), case["code"].as_str()) else { continue };
            let text = frames.get(frame).and_then(Value::as_str).unwrap_or("{code}");
            let text = filled(text, code);
            if let Err(error) = parse(&text) {
                panic!("{}, {}: {error}\n{text}", file.display(), case["op"]);
            }
            cases += 1;
        }
    }
    assert!(cases > 1000, "{cases} cases");
}

#[test]
fn kernels_of_triton_are_read() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/oracle"));
    let listed: Value = serde_json::from_slice(&std::fs::read(folder.join("kernels.json")).unwrap()).unwrap();
    for (name, kernel) in listed.as_object().unwrap() {
        let text = std::fs::read_to_string(folder.join(format!("{name}.ptx"))).unwrap();
        let module = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let entry = module.functions.iter().find(|function| function.entry).unwrap();
        assert_eq!(entry.name, kernel["entry"].as_str().unwrap(), "{name}");
        let own = kernel["parameters"].as_array().unwrap().len();
        assert_eq!(entry.parameters.len(), own + 2, "{name}: with two pointers of scratch memory");
    }
}

#[test]
fn variables_have_their_spaces_initial_values_and_linkage() {
    let module = program("module_scope.ptx");
    let variable = |name: &str| module.variables.iter().find(|variable| variable.name == name).unwrap();
    let squares = variable("squares");
    assert_eq!((squares.space, squares.ty.as_str(), squares.align), (Space::Const, "u32", Some(4)));
    assert_eq!((squares.dimensions.as_slice(), squares.initial.len()), (&[Some(8)][..], 8));
    assert_eq!(variable("half").initial, [Initial::Number(Number::Single(0x3F00_0000))]);
    assert_eq!(variable("words").initial[2], Initial::Number(Number::Int(-3)));
    let address = |name: &str, generic| Initial::Address { name: name.to_owned(), offset: 0, generic };
    assert_eq!(variable("pointers").initial, [address("words", false), address("text", true)]);
    assert_eq!(variable("counter").linkage, Linkage::Visible);
}

#[test]
fn scopes_directives_and_vectors_are_kept() {
    let module = program("syntax.ptx");
    let kernel = module.functions.iter().find(|function| function.entry).unwrap();
    assert_eq!(kernel.directives, [("maxntid".to_owned(), vec![128, 1, 1]), ("minnctapersm".to_owned(), vec![2])]);
    assert_eq!(kernel.parameters[1].pointer, Some((Some(Space::Global), Some(16))));
    let body = kernel.body.as_deref().unwrap();
    let declared = body.iter().filter_map(|statement| match statement {
        Statement::Variable(variable) => Some((variable.name.as_str(), variable.count, variable.vector)),
        _ => None,
    });
    let declared: Vec<_> = declared.collect();
    assert!(declared.contains(&("%r", Some(3), 1)) && declared.contains(&("$dollar", None, 1)), "{declared:?}");
    assert!(declared.contains(&("%v", None, 4)), "{declared:?}");
    assert_eq!(body.iter().filter(|statement| matches!(statement, Statement::Block(_))).count(), 1);
    let inc = module.functions.iter().find(|function| function.name == "inc").unwrap();
    assert_eq!((inc.linkage, inc.entry, inc.results[0].name.as_str()), (Linkage::Weak, false, "%y"));
}
