//! HashiCorp's double of Consul's API: other people's idea of its answers than ours.

use tests::consul_double::ConsulDouble;

use super::*;

/// A store in a directory, and its copy on the double.
fn stage(double: &ConsulDouble) -> Stage {
    Stage::new(&format!("consul+http://127.0.0.1:{}/adamant", double.port), None, None)
}

/// Points in a directory, and shows the double what is there then.
fn point(stage: &Stage, double: &ConsulDouble, version: u64) {
    let line = format!("point {AT} --key 4.key --release {version}.json --store store");
    let words: Vec<&str> = line.split(' ').collect();
    let (status, _, stderr) = gateway::run(&words, stage.world.home());
    assert!(status.success(), "{stderr}");
    let store = stage.world.path("store");
    for directory in ["releases", "channels/production"] {
        for file in fs::read_dir(store.join(directory)).unwrap().flatten() {
            let key = format!("adamant/{directory}/{}", file.file_name().to_str().unwrap());
            if file.path().is_file() {
                double.put(&key, &fs::read(file.path()).unwrap());
            }
        }
    }
}

#[test]
fn the_makers_double_of_consul_serves_a_channel() {
    let Some(double) = ConsulDouble::start(Some(300)) else { return };
    let stage = stage(&double);
    stage.build(1, &["/one"]);
    stage.build(2, &["/one", "/two"]);
    let why = stage.world.try_start().err().expect("what is made up is no pointer");
    assert!(why.contains("refused at the check pointer-signatures"), "{why}");
    let said = stage.bad(&format!("point {AT} --key 4.key --release 1.json"));
    assert!(said.contains("the pointer of channel production is not believed"), "{said}");
    double.makes_nothing_up();

    point(&stage, &double, 1);
    let gateway = stage.world.start();
    serves_soon(&gateway, 1);
    assert_eq!(stage.with_key(&gateway), 200);
    point(&stage, &double, 2);
    serves_soon(&gateway, 2);
    assert_eq!(gateway.once(get("/two", "")).status, 200);
}

#[test]
fn looks_that_are_held_far_too_long_keep_nothing_from_being_followed() {
    let Some(double) = ConsulDouble::start(None) else { return };
    double.makes_nothing_up();
    let stage = stage(&double);
    stage.build(1, &["/one"]);
    stage.build(2, &["/one", "/two"]);
    point(&stage, &double, 1);
    let gateway = stage.world.start();
    assert_eq!((gateway.once(get("/one", "")).status, stage.with_key(&gateway)), (200, 200));
    point(&stage, &double, 2);
    serves_soon(&gateway, 2);
}
