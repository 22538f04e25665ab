use super::House;
use serde_json::json;

#[test]
fn targets_are_listed_and_taken_out_of_use_by_name() {
    let house = House::new();
    let listed = house.get("/admin/v1/targets").ok();
    let names: Vec<&str> =
        listed["targets"].as_array().unwrap().iter().map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["main", "main/m-2", "main/org/m-1"]);
    assert_eq!(
        listed["targets"][2],
        json!({"name": "main/org/m-1", "models": ["smart"], "mode": "enabled", "state": "healthy",
               "set_aside_seconds": null, "times_set_aside": 0})
    );
    for (action, mode) in [("drain", "draining"), ("disable", "disabled"), ("enable", "enabled")] {
        let changed = house.ask("POST", &format!("/admin/v1/targets/main%2Forg%2Fm-1/{action}"), "").ok();
        assert_eq!((changed["name"].as_str(), changed["mode"].as_str()), (Some("main/org/m-1"), Some(mode)));
        assert_eq!(house.get("/admin/v1/targets/main%2Forg%2Fm-1").ok(), changed);
        assert_eq!(
            house.get("/admin/v1/targets/main").ok()["mode"],
            "enabled",
            "only the one that was named"
        );
    }
    let (code, message) = house.ask("POST", "/admin/v1/targets/mian/drain", "").refusal(404);
    assert_eq!(code, "target_not_found");
    assert!(message.contains("mian"), "{message}");
}
