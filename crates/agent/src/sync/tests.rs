//! Lives of pods. See [`super::testkit`] for the language.

use expect_test::{Expect, expect};

use super::testkit::play;

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

/// DS-H01, DS-H02, DS-H04
#[test]
fn starts_and_becomes_ready() {
    check(
        "main=web
         begin
         status",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   web running ready=true started=true restarts=0
        "#]],
    );
}

/// DS-H10, DS-H05: immediate, then 10 s, 20 s …, said once per back-off.
#[test]
fn crash_loop_backs_off() {
    check(
        "main=web
         begin
         exit web 1
         exit web 1
         status
         after 10
         exit web 2
         after 19
         after 1
         after 700
         exit web 1
         status",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > exit web 1
               0s image web
               0s start web 1
            > exit web 1
               0s event BackOff: Back-off restarting failed container web in pod p_n(u)
               0s remove web#0
            = Running PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web waiting CrashLoopBackOff [back-off 10s restarting failed container=web pod=p_n(u)] last=1 ready=false started=false restarts=1
              10s image web
              10s start web 2
            > after 10
            > exit web 2
              10s event BackOff: Back-off restarting failed container web in pod p_n(u)
              10s remove web#1
            > after 19
              30s image web
              30s start web 3
            > after 1
            > after 700
            > exit web 1
             730s image web
             730s remove web#2
             730s start web 4
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   web running last=1 ready=true started=true restarts=4
        "#]],
    );
}

/// DS-H11, DS-H04
#[test]
fn missing_image() {
    check(
        "main=web
         fail image not found
         begin
         status
         after 2
         status
         after 8
         mend
         after 20
         status",
        expect![[r#"
            > fail image not found
               0s set up
               0s sandbox 0
               0s image web FAILS not found
            > begin
            = Pending PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web waiting ErrImagePull [not found] ready=false started=false restarts=0
               2s event BackOff: Back-off pulling image "web:1"
               2s event Failed: Error: ImagePullBackOff
            > after 2
            = Pending PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web waiting ImagePullBackOff [Back-off pulling image "web:1": ErrImagePull: not found] ready=false started=false restarts=0
              10s image web FAILS not found
            > after 8
            > mend
              12s event BackOff: Back-off pulling image "web:1"
              12s event Failed: Error: ImagePullBackOff
              30s image web
              30s start web 0
            > after 20
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   web running ready=true started=true restarts=0
        "#]],
    );
}

/// DS-H20, DS-H03
#[test]
fn init_containers_one_by_one() {
    check(
        "init=a,b main=web
         begin
         status
         exit a 1
         exit a 0
         status
         exit b 0
         status",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image a
               0s start a 0
            = Pending PodReadyToStartContainers=True Initialized=False(ContainersNotInitialized) Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   a running ready=false started=true restarts=0
            =   b waiting PodInitializing ready=false started=false restarts=0
            =   web waiting PodInitializing ready=false started=false restarts=0
            > exit a 1
               0s image a
               0s start a 1
            > exit a 0
               0s image b
               0s remove a#0
               0s start b 0
            = Pending PodReadyToStartContainers=True Initialized=False(ContainersNotInitialized) Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   a terminated Completed 0 ready=true started=false restarts=1
            =   b running ready=false started=true restarts=0
            =   web waiting PodInitializing ready=false started=false restarts=0
            > exit b 0
               0s image web
               0s start web 0
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   a terminated Completed 0 ready=true started=false restarts=1
            =   b terminated Completed 0 ready=true started=false restarts=0
            =   web running ready=true started=true restarts=0
        "#]],
    );
}

/// DS-H21: the next one starts when the sidecar has started; it ends last.
#[test]
fn sidecar_first_in_last_out() {
    check(
        r#"sidecar=s init=a main=web with=s:{"startupProbe":{}} grace=10
         begin
         status
         probe s startup ok
         exit a 0
         status
         exit s 1
         delete 10"#,
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image s
               0s start s 0
               0s probe s#0
            = Pending PodReadyToStartContainers=True Initialized=False(ContainersNotInitialized) Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   s running ready=false started=false restarts=0
            =   a waiting PodInitializing ready=false started=false restarts=0
            =   web waiting PodInitializing ready=false started=false restarts=0
            > probe s startup ok
               0s image a
               0s start a 0
            > exit a 0
               0s image web
               0s start web 0
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   s running ready=true started=true restarts=0
            =   a terminated Completed 0 ready=true started=false restarts=0
            =   web running ready=true started=true restarts=0
            > exit s 1
               0s image s
               0s start s 1
               0s probe s#1
            > delete 10
               0s terminating
               0s kill web in 10s: Stopping container web
               0s kill s in 10s: Stopping container s
               0s stop sandbox1
               0s remove s#0
               0s tear down
               0s delete
               0s remove sandbox1
               0s done
        "#]],
    );
}

/// DS-H17: a failed probe kills, with its own grace period.
#[test]
fn liveness_failure_restarts() {
    check(
        r#"main=web with=web:{"livenessProbe":{"terminationGracePeriodSeconds":3}}
         begin
         probe web liveness fail
         status"#,
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
               0s probe web#0
            > probe web liveness fail
               0s stop probes web
               0s kill web in 3s: Container web failed liveness probe, will be restarted
               0s image web
               0s start web 1
               0s probe web#1
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   web running last=143 ready=true started=true restarts=1
        "#]],
    );
}

/// DS-H06, DS-H16: not ready before the probe says so; readiness gates count.
#[test]
fn readiness() {
    check(
        r#"main=web gate=example.com/ok with=web:{"readinessProbe":{},"startupProbe":{}}
         begin
         status
         probe web startup ok
         status
         probe web readiness ok
         status
         condition example.com/ok True
         status"#,
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
               0s probe web#0
            = Running PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web running ready=false started=false restarts=0
            > probe web startup ok
            = Running PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web running ready=false started=true restarts=0
            > probe web readiness ok
            = Running PodReadyToStartContainers=True Initialized=True Ready=False(ReadinessGatesNotReady) ContainersReady=True
            =   web running ready=true started=true restarts=0
            > condition example.com/ok True
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True example.com/ok=True
            =   web running ready=true started=true restarts=0
        "#]],
    );
}

/// DS-H19: not running before the hook has run.
#[test]
fn post_start_hook() {
    check(
        r#"main=web with=web:{"lifecycle":{"postStart":{"sleep":{"seconds":1}}}}
         hold hook
         begin
         status
         end hook web
         status"#,
        expect![[r#"
            > hold hook
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
               0s hook web ...
            > begin
            = Pending PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web waiting ContainerCreating ready=false started=false restarts=0
            > end hook web
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   web running ready=true started=true restarts=0
        "#]],
    );
}

/// The next container starts after the hook of the one before it; images are pulled at once.
#[test]
fn containers_start_in_the_order_of_the_list() {
    check(
        r#"main=b,a,c with=b:{"lifecycle":{"postStart":{"sleep":{"seconds":6}}}}
         hold hook
         begin
         status
         end hook b
         status"#,
        expect![[r#"
            > hold hook
               0s set up
               0s sandbox 0
               0s image b
               0s image a
               0s image c
               0s start b 0
               0s hook b ...
            > begin
            = Pending PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   a waiting ContainerCreating ready=false started=false restarts=0
            =   b waiting ContainerCreating ready=false started=false restarts=0
            =   c waiting ContainerCreating ready=false started=false restarts=0
            > end hook b
               0s start a 0
               0s start c 0
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   a running ready=true started=true restarts=0
            =   b running ready=true started=true restarts=0
            =   c running ready=true started=true restarts=0
        "#]],
    );
}

/// One that cannot be started does not hold up the others, and one that backs off neither.
#[test]
fn a_container_that_cannot_start_is_passed_over() {
    check(
        "main=b,a
         fail image_b no such image
         begin
         exit a 1
         status",
        expect![[r#"
            > fail image_b no such image
               0s set up
               0s sandbox 0
               0s image b FAILS no such image
               0s image a
               0s start a 0
            > begin
            > exit a 1
               0s image a
               0s start a 1
            = Pending PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   a running last=1 ready=true started=true restarts=1
            =   b waiting ErrImagePull [no such image] ready=false started=false restarts=0
        "#]],
    );
    check(
        "main=b,a
         begin
         exit b 1
         exit b 1
         exit a 0",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image b
               0s image a
               0s start b 0
               0s start a 0
            > exit b 1
               0s image b
               0s start b 1
            > exit b 1
               0s event BackOff: Back-off restarting failed container b in pod p_n(u)
               0s remove b#0
            > exit a 0
               0s image a
               0s start a 1
        "#]],
    );
}

/// DS-H23: init containers run again, restart counts go on.
#[test]
fn sandbox_lost() {
    check(
        "init=a main=web
         begin
         exit a 0
         lose-sandbox
         exit a 0
         status",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image a
               0s start a 0
            > exit a 0
               0s image web
               0s start web 0
            > lose-sandbox
               0s event SandboxChanged: Pod sandbox changed, it will be killed and re-created.
               0s stop sandbox1
               0s sandbox 1
               0s image a
               0s start a 1
            > exit a 0
               0s image web
               0s remove a#0
               0s start web 1
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   a terminated Completed 0 ready=true started=false restarts=1
            =   web running last=137 ready=true started=true restarts=1
        "#]],
    );
}

/// DS-H22
#[test]
fn image_changed() {
    check(
        "main=web
         begin
         image web web:2",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > image web web:2
               0s stop probes web
               0s kill web in 30s: Container web definition changed, will be restarted
               0s image web
               0s start web 1
        "#]],
    );
}

/// DS-H24, DS-H25: everything is down before the object goes; a shorter grace is honoured.
#[test]
fn deletion() {
    check(
        "main=web,log
         hold kill_web
         begin
         delete 30
         after 0.3
         after 4.7
         delete 6
         delete 60
         end kill web",
        expect![[r#"
            > hold kill_web
               0s set up
               0s sandbox 0
               0s image web
               0s image log
               0s start web 0
               0s start log 0
            > begin
            > delete 30
               0s terminating
               0s kill web in 30s: Stopping container web ...
               0s kill log in 30s: Stopping container log
            > after 0.3
            > after 4.7
            > delete 6
               5s kill web in 2s without preStop: Stopping container web ...
            > delete 60
            > end kill web
               5s stop sandbox1
               5s tear down
               5s delete
               5s remove sandbox1
               5s done
        "#]],
    );
}

/// DS-L10: a pull is given up at once.
#[test]
fn deleted_while_pulling() {
    check(
        "main=web
         hold image
         begin
         delete 30",
        expect![[r#"
            > hold image
               0s set up
               0s sandbox 0
               0s image web ...
            > begin
            > delete 30
               0s terminating
               0s abort Container("web")
               0s stop sandbox1
               0s tear down
               0s delete
               0s remove sandbox1
               0s done
        "#]],
    );
}

/// DS-H26
#[test]
fn removed_by_force() {
    check(
        "main=web
         hold kill
         begin
         delete 30
         after 3
         gone
         end kill web",
        expect![[r#"
            > hold kill
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > begin
            > delete 30
               0s terminating
               0s kill web in 30s: Stopping container web ...
            > after 3
            > gone
               3s kill web in 2s without preStop: Stopping container web ...
            > end kill web
               3s stop sandbox1
               3s tear down
               3s remove sandbox1
               3s done
        "#]],
    );
}

/// DS-H67: hooks do not run again, readiness stands, nothing restarts.
#[test]
fn agent_restart() {
    check(
        r#"main=web with=web:{"readinessProbe":{},"lifecycle":{"postStart":{"sleep":{"seconds":1}}}}
         begin
         probe web readiness ok
         restart-agent
         status
         exit web 1
         status"#,
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
               0s hook web
               0s probe web#0
            > probe web readiness ok
            > restart-agent
               0s set up
               0s probe web#0
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   web running ready=true started=true restarts=0
            > exit web 1
               0s image web
               0s start web 1
               0s hook web
               0s probe web#1
            = Running PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web running last=1 ready=false started=true restarts=1
        "#]],
    );
}

/// DS-H01: policies other than Always end a pod.
#[test]
fn finished_pods() {
    check(
        "main=web policy=Never
         begin
         exit web 3
         status
         delete 30",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > exit web 3
               0s terminating
               0s stop sandbox1
               0s tear down
            = Failed PodReadyToStartContainers=False Initialized=True Ready=False(PodFailed) ContainersReady=False(PodFailed)
            =   web terminated Error 3 ready=false started=false restarts=0
            > delete 30
               0s delete
               0s remove sandbox1
               0s done
        "#]],
    );
    check(
        "main=web policy=OnFailure
         begin
         exit web 1
         exit web 0
         status",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > exit web 1
               0s image web
               0s start web 1
            > exit web 0
               0s terminating
               0s stop sandbox1
               0s remove web#0
               0s tear down
            = Succeeded PodReadyToStartContainers=False Initialized=True(PodCompleted) Ready=False(PodCompleted) ContainersReady=False(PodCompleted)
            =   web terminated Completed 0 ready=false started=false restarts=1
        "#]],
    );
}

/// DS-H04: what is missing may appear.
#[test]
fn config_error_recovers() {
    check(
        r#"main=web
         fail start configmap "c" not found
         begin
         status
         mend
         after 3
         status"#,
        expect![[r#"
            > fail start configmap "c" not found
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0 FAILS configmap "c" not found
            > begin
            = Pending PodReadyToStartContainers=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)
            =   web waiting CreateContainerConfigError [configmap "c" not found] ready=false started=false restarts=0
            > mend
               3s image web
               3s start web 0
            > after 3
            = Running PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True
            =   web running ready=true started=true restarts=0
        "#]],
    );
}

/// DS-H23, DS-H30: volumes, network and sandboxes are tried again.
#[test]
fn failures_before_the_first_container() {
    check(
        "main=web
         network down
         fail set_up volume
         begin
         mend
         after 1
         fail sandbox no
         network up
         mend
         after 6",
        expect![[r#"
            > network down
               0s set up
               0s event NetworkNotReady: network is not ready: container runtime network not ready: cni plugin not initialized
            > fail set_up volume
            > begin
            > mend
            > after 1
            > fail sandbox no
            > network up
               1s sandbox 0 FAILS no
            > mend
               1.500s sandbox 0
               1.500s image web
               1.500s start web 0
            > after 6
        "#]],
    );
    check(
        "host main=web
         network down
         begin",
        expect![[r#"
            > network down
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > begin
        "#]],
    );
}

#[test]
fn active_deadline() {
    check(
        "main=web deadline=60
         begin
         after 60
         status",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
              60s event DeadlineExceeded: Pod was active on the node longer than the specified deadline
              60s terminating
              60s kill web in 30s: Stopping container web
              60s stop sandbox1
              60s tear down
            > after 60
            = Failed reason=DeadlineExceeded PodReadyToStartContainers=False Initialized=True Ready=False(PodFailed) ContainersReady=False(PodFailed)
            =   web terminated Error 143 ready=false started=false restarts=0
        "#]],
    );
}

/// DS-H25: an answer is no proof. A server that was killed may have lost the deletion, or may not
/// have known of the pod.
#[test]
fn a_pod_is_deleted_again_until_it_is_gone() {
    check(
        "main=web
        begin
        deletions lost
        delete 1
        after 25
        gone",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > deletions lost
            > delete 1
               0s terminating
               0s kill web in 2s: Stopping container web
               0s stop sandbox1
               0s tear down
               0s delete
               0s remove sandbox1
              10s delete
              20s delete
            > after 25
            > gone
              25s done
        "#]],
    );
}

/// DS-H09: a pod that uses too much ends soon, and stays as failed with the reason.
#[test]
fn an_evicted_pod_ends_and_says_why() {
    check(
        "main=web
         begin
         evict too much
         after 3
         status",
        expect![[r#"
            > begin
               0s set up
               0s sandbox 0
               0s image web
               0s start web 0
            > evict too much
               0s terminating
               0s kill web in 2s: Stopping container web
               0s stop sandbox1
               0s tear down
            > after 3
            = Failed reason=Evicted PodReadyToStartContainers=False Initialized=True Ready=False(PodFailed) ContainersReady=False(PodFailed)
            =   web terminated Error 143 ready=false started=false restarts=0
        "#]],
    );
}
