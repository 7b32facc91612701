"""What is started on the other nodes of a SLURM job."""

from serpens import allocation


def test_nodes_work_together_in_a_job_alone():
    assert allocation.nodes(2, {"SLURM_JOB_ID": "7"}) == 2
    assert allocation.nodes(2, {"HOME": "/"}) == 1


def test_a_step_takes_nothing_for_its_own_that_another_was_told():
    inherited = {
        "SLURM_JOB_ID": "7",
        "SLURM_CONF": "c",
        "SLURM_NNODES": "1",
        "SRUN_DEBUG": "1",
        "SBATCH_X": "1",
        "PATH": "p",
    }
    assert allocation.environment_for_step(inherited) == {"SLURM_JOB_ID": "7", "SLURM_CONF": "c", "PATH": "p"}


def test_each_other_node_gets_its_tasks():
    words = allocation.on_other_nodes(["python", "x"], nodes=3, tasks=4, threads=2, gpus=0)
    assert words[0] == "srun"
    assert words[-2:] == ["python", "x"]
    assert {"--overlap", "--relative=1", "--nodes=2", "--ntasks=8", "--ntasks-per-node=4"} <= set(words)
    assert {"--distribution=block", "--cpus-per-task=2", "--kill-on-bad-exit=1"} <= set(words)
    assert "--gres=none" in words
    assert not [word for word in words if "gpus" in word or "overcommit" in word]
    few = allocation.on_other_nodes(["x"], nodes=2, tasks=4, threads=0, gpus=0)
    assert "--overcommit" in few
    assert not [word for word in few if "cpus" in word]
    assert "--gpus-per-node=4" in allocation.on_other_nodes(["x"], nodes=2, tasks=4, threads=1, gpus=4)


def test_a_task_knows_its_number():
    assert allocation.task({"SLURM_PROCID": "5", "SLURM_LOCALID": "1"}) == (5, 1)
    assert allocation.task({}) == (0, 0)
