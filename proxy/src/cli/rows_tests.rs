use super::*;

fn read(text: &str) -> Result<Vec<Row<CreateArguments>>> {
    read_with(text, &CreateArguments::default())
}

fn read_with(text: &str, rest: &CreateArguments) -> Result<Vec<Row<CreateArguments>>> {
    let mut problems = Problems::of(Path::new("people"));
    let rows = keys(text, rest, &mut problems)?;
    problems.end().map(|()| rows)
}

fn wrong(text: &str) -> String {
    format!("{:#}", read(text).unwrap_err())
}

#[test]
fn csv_and_json_lines_say_the_same() {
    let csv = "name,team,user,service_account,models,expires_at,metadata.cost-center,metadata\n\
               ada, red ,ada,,gpt-5* o3,90d,42,\"{\"\"floor\"\": \"\"3, north\"\"}\"\n\
               \n\
               ci,,,ci,,,,\n";
    let json = "{\"name\": \"ada\", \"team\": \"red\", \"user\": \"ada\", \"models\": [\"gpt-5*\", \"o3\"], \
                \"expires\": \"90d\", \"metadata\": {\"cost-center\": \"42\", \"floor\": \"3, north\"}}\n\
                \n\
                {\"name\": \"ci\", \"service_account\": \"ci\"}\n";
    for text in [csv, json, &csv.replace('\n', "\r\n"), &json.replace('\n', "\r\n")] {
        let rows = read(text).unwrap();
        let [ada, ci] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(
            (ada.line, ci.line),
            (if is_json(text) { 1 } else { 2 }, if is_json(text) { 3 } else { 4 })
        );
        let (ada, ci) = (&ada.value, &ci.value);
        assert_eq!((ada.name.as_deref(), ada.team.as_deref()), (Some("ada"), Some("red")));
        assert_eq!((ada.user.as_deref(), &ada.service_account), (Some("ada"), &None));
        assert_eq!(
            (ada.expires.as_deref(), &ada.models[..]),
            (Some("90d"), &["gpt-5*", "o3"].map(str::to_owned)[..])
        );
        assert_eq!(ada.metadata, ["cost-center=42", "floor=3, north"]);
        assert_eq!((ci.name.as_deref(), ci.service_account.as_deref()), (Some("ci"), Some("ci")));
        assert!(ci.models.is_empty() && ci.metadata.is_empty() && ci.team.is_none(), "{ci:?}");
    }
}

#[test]
fn what_a_row_does_not_say_is_as_on_the_command_line() {
    let rest = CreateArguments {
        team: Some("red".into()),
        expires: Some("90d".into()),
        models: vec!["gpt-*".into()],
        metadata: vec!["cost=1".into(), "floor=2".into()],
        ..CreateArguments::default()
    };
    let rows = read_with("name,team,models,metadata.cost\na,blue,o3,7\nb,,,\n", &rest).unwrap();
    let (a, b) = (&rows[0].value, &rows[1].value);
    assert_eq!((a.team.as_deref(), &a.models[..]), (Some("blue"), &["o3".to_owned()][..]));
    assert_eq!(
        (&a.metadata[..], a.expires.as_deref()),
        (&["cost=7", "floor=2"].map(str::to_owned)[..], Some("90d"))
    );
    assert_eq!((b.team.as_deref(), &b.models, &b.metadata), (Some("red"), &rest.models, &rest.metadata));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    assert!(wrong("name,tema\nx,y\n").contains("`tema`"));
    assert!(wrong("name,name\nx,y\n").contains("twice"));
    assert!(wrong("team\nred\n").contains("`name`"));
    assert!(wrong("name,metadata.\nx,y\n").contains("`metadata.`"));
    assert!(wrong("name,team\nx\n").contains("line: 2"));
    let problem = wrong("name,metadata\nx,{}\ny,5\n");
    assert!(problem.contains("people, line 3") && problem.contains("`metadata`"), "{problem}");
    let problem =
        wrong("{\"name\": \"x\"}\n{\"name\": \"y\", \"modles\": []}\n{\"name\": \"z\", \"models\": []}\n{\n");
    for part in ["people, line 2", "`modles`", "people, line 3", "empty list", "people, line 4"] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
}

#[test]
fn rows_and_told_problems_have_a_limit() {
    let rows = |count: usize| format!("name\n{}", "x\n".repeat(count));
    assert_eq!(read(&rows(KEYS_AT_ONCE_MAX)).unwrap().len(), KEYS_AT_ONCE_MAX);
    assert!(wrong(&rows(KEYS_AT_ONCE_MAX + 1)).contains("split it"));
    let wrong_rows = |count: usize| wrong(&format!("name,metadata\n{}", "x,5\n".repeat(count)));
    assert!(!wrong_rows(PROBLEMS_MAX).contains("more"));
    assert!(wrong_rows(PROBLEMS_MAX + 1).contains("and 1 more"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big");
    std::fs::write(&file, vec![b'x'; FILE_BYTES_MAX]).unwrap();
    assert_eq!(text(&file).unwrap().len(), FILE_BYTES_MAX);
    std::fs::write(&file, vec![b'x'; FILE_BYTES_MAX + 1]).unwrap();
    assert!(text(&file).unwrap_err().to_string().contains("split it"));
    std::fs::write(&file, b"\xff").unwrap();
    assert!(text(&file).unwrap_err().to_string().contains("UTF-8"));
    std::fs::write(&file, "\u{feff}name\n").unwrap();
    assert_eq!(text(&file).unwrap(), "name\n", "a spreadsheet's mark is no part of the title");
}

#[test]
fn ids_stand_alone_or_in_a_column() {
    let read = |text: &str| {
        let mut problems = Problems::of(Path::new("ids"));
        let rows = ids(text, &mut problems)?;
        problems.end().map(|()| rows.into_iter().map(|row| (row.line, row.value)).collect::<Vec<_>>())
    };
    let wanted = |first: u64| vec![(first, "a".to_owned()), (first + 1, "b".to_owned())];
    assert_eq!(read("a\nb\n").unwrap(), wanted(1));
    assert_eq!(read("name,id,team\nx,a,\ny,b,red\n").unwrap(), wanted(2));
    assert_eq!(read("{\"id\": \"a\", \"name\": \"x\"}\n{\"id\": \"b\"}\n").unwrap(), wanted(1));
    assert_eq!(read("").unwrap(), []);
    for wrong in ["a,b\n", "id,name\n,x\n"] {
        assert!(read(wrong).unwrap_err().to_string().contains("`id`"), "{wrong}");
    }
    assert!(read("{\"name\": \"x\"}\n").unwrap_err().to_string().contains("`id`"));
}

proptest::proptest! {
    /// Whatever a file holds is read or refused.
    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC\n\r\",{}]{0,200}", header in "(name,|id,|\\{)?") {
        let text = format!("{header}{text}");
        let mut problems = Problems::of(Path::new("any"));
        let _ = keys(&text, &CreateArguments::default(), &mut problems);
        let _ = ids(&text, &mut problems);
    }
}
