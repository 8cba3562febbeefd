"""Policies that walk Unitree's humanoids: what the programs of the three robots share.

The repository holds, for each robot, a policy that was trained by PPO (a TorchScript archive: an LSTM, behind it
two dense layers) and the robot's description for MuJoCo. The robot walks here as ``deploy/deploy_mujoco`` lets
it: 50 times a second the policy reads angular velocity, the direction of gravity, the command, joints and their
speeds, its last action, and a clock of one stride in 0.8 s; it answers with joint angles, which a controller
pursues at 500 Hz. No input has the speed at which the robot moves. The archive is read as data by the library;
where PyTorch is installed it is also run, and drives the robot.
"""

import ast
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from examples.zoo.common import (
    About,
    Agreement,
    Files,
    Study,
    arrays_of,
    double,
    largest,
    rounded,
    sigmoid,
    times,
)
from jax.tree_util import Partial

import rnn_dynamics as rd

COMMIT = "276801e46c5d433564f24658bac64f254b7d2d4b"
MUJOCO = "pip install mujoco==3.3.7 torch==2.13.0   # torch may be missing: NumPy then runs the policy"
INSTALL = (
    "git clone https://github.com/unitreerobotics/unitree_rl_gym packages/unitree_rl_gym",
    f"git -C packages/unitree_rl_gym checkout {COMMIT}",
    MUJOCO,
    "--unpacked packages",
)
COMMAND = (0.5, 0.0, 0.0)  # m/s ahead, m/s to the left, rad/s
SECONDS, BEFORE, TRIED = 40.0, 8.0, 24.0  # of the walk; with all of the memory, then with less
STRIDE = 40  # steps
WINDOWS = (1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 28, 40)
KNEE = 3  # of the actions, on the left
PUSHES, PUSH, AFTER = 32, 0.1, 80  # of the state: how many, how large, steps that are looked at after
_UNITS, _PHYSICS = 64, 10

Step = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # observation, state → action, state


def about(name: str, robot: str, inputs: int, actions: int) -> About:
    """What is known of the policy of one robot."""
    return About(
        name,
        f"{robot}: a humanoid's walk",
        "unitree_rl_gym",
        COMMIT[:7],
        "BSD-3-Clause",
        INSTALL,
        f"LSTM 64 on {inputs} inputs, dense 32, dense → {actions}",
        0.02,
        "s",
    )


class Robot:
    """A robot as MuJoCo has it, and the numbers of its controller.

    Meshes whose files are not there are left out (in clones without large files some are missing). Masses and
    inertias stand in the description, so that such a mesh matters where it touches something; ``Walk.touching``
    tells what did.
    """

    def __init__(self, mujoco: Any, scene: Path, settings: Path) -> None:
        self.mujoco = mujoco
        text = settings.read_text(encoding="utf-8")
        found = {name: ast.literal_eval(value) for name, value in re.findall(_SETTING, text)}
        self.stiffness, self.damping, self.rest = (
            np.array(found[name], float) for name in ("kps", "kds", "default_angles")
        )
        self.command_scale = np.array(found["cmd_scale"], float)
        self.scales = {name: found[f"{name}_scale"] for name in ("ang_vel", "dof_pos", "dof_vel", "action")}
        spec = mujoco.MjSpec.from_file(str(scene))
        folder = scene.parent / spec.meshdir
        self.left_out = [each.name for each in spec.meshes if not (folder / each.file).is_file()]
        for each in [each for each in spec.geoms if each.meshname in self.left_out]:
            spec.delete(each)
        for each in [each for each in spec.meshes if each.name in self.left_out]:
            spec.delete(each)
        self.model = spec.compile()
        self.model.opt.timestep = found["simulation_dt"]

    def standing(self) -> np.ndarray:
        """The observation of a robot that stands still as its controller rests, told to stay, at the clock's 0."""
        joints = len(self.rest)
        return np.concatenate([[0, 0, 0, 0, 0, -1, 0, 0, 0], np.zeros(3 * joints), [0, 1]]).astype(float)


_SETTING = r"(?m)^(\w+):\s*(\[[^\]]*\]|-?[\d.]+)"


class Walker:
    """A robot on its way: the physics, the policy's state, its last action, and the steps so far."""

    def __init__(self, robot: Robot, step: Step) -> None:
        self.robot, self.step = robot, step
        self.data = robot.mujoco.MjData(robot.model)
        self.action, self.state = np.zeros(len(robot.rest)), np.zeros(2 * _UNITS)
        self.count = 0

    def observe(self) -> np.ndarray:
        """What the policy reads after another step of the controller."""
        robot, data, scales = self.robot, self.data, self.robot.scales
        target = self.action * scales["action"] + robot.rest
        for _ in range(_PHYSICS):
            data.ctrl[:] = (target - data.qpos[7:]) * robot.stiffness - data.qvel[6:] * robot.damping
            robot.mujoco.mj_step(robot.model, data)
        self.count += 1
        phase = 2 * math.pi * (self.count % STRIDE) / STRIDE
        down = -turned(data.qpos[3:7])[2]
        parts = [data.qvel[3:6] * scales["ang_vel"], down, np.array(COMMAND) * robot.command_scale]
        parts += [(data.qpos[7:] - robot.rest) * scales["dof_pos"], data.qvel[6:] * scales["dof_vel"]]
        parts += [self.action, [math.sin(phase), math.cos(phase)]]
        return np.concatenate(parts).astype(np.float32)

    def act(self, seen: np.ndarray) -> None:
        """Let the policy answer to what it reads."""
        self.action, self.state = self.step(seen, self.state)

    def speed(self) -> float:
        """Of the pelvis, the way that it looks, in m/s."""
        ahead = turned(self.data.qpos[3:7])[:2, 0]
        return float(self.data.qvel[:2] @ ahead / np.linalg.norm(ahead))

    def kept(self) -> tuple[Any, ...]:
        """All from which the walk goes on."""
        mujoco, model = self.robot.mujoco, self.robot.model
        physics = np.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(model, self.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        return physics, self.action, self.state, self.count

    def back_to(self, kept: tuple[Any, ...]) -> None:
        """Go on from there."""
        physics, self.action, self.state, self.count = kept
        mujoco = self.robot.mujoco
        mujoco.mj_setState(self.robot.model, self.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)


def turned(quaternion: np.ndarray) -> np.ndarray:
    """The matrix of a rotation; its columns are the body's axes in the world."""
    w, x, y, z = quaternion
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


class Walk(NamedTuple):
    """A recorded walk; ``fell`` is the time of a fall in seconds, at which it ends."""

    seen: np.ndarray
    actions: np.ndarray
    states: np.ndarray
    speeds: np.ndarray
    touching: list[str]
    fell: float | None


def walked(robot: Robot, step: Step, seconds: float, memory: Callable | None = None) -> Walk:
    """Walk for so long; ``memory`` gives the state from which each step starts, of what was read until then.

    It takes the state's place after ``BEFORE`` seconds of an undisturbed walk.
    """
    walker, names = Walker(robot, step), set()
    rows, all_seen, fell = [], [], None
    start = walker.data.qpos[2]
    for _ in range(round(seconds / 0.02)):
        seen = walker.observe()
        if memory is not None and walker.count > BEFORE / 0.02:
            walker.state = memory(all_seen)
        walker.act(seen)
        all_seen.append(seen)
        rows.append((walker.action, walker.state, walker.speed()))
        names |= {int(robot.model.geom_bodyid[geom]) for pair in walker.data.contact.geom for geom in pair}
        if walker.data.qpos[2] < 0.6 * start:
            fell = walker.count * 0.02
            break
    touching = sorted(robot.model.body(each).name for each in names if each)
    actions, states, speeds = (np.array(each) for each in zip(*rows, strict=True))
    return Walk(np.array(all_seen), actions, states, speeds, touching, fell)


def policy_in_torch(path: Path) -> tuple[Step, str, bool]:
    """A step of the archive as PyTorch runs it, else in NumPy; what that is, and whether it is PyTorch."""
    try:
        import torch
    except ImportError:
        return policy_in_numpy(path), "the same arithmetic in NumPy", False
    torch.set_num_threads(1)
    network = torch.jit.load(path)
    network.eval()

    @torch.no_grad()
    def step(seen: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = network.hidden_state, network.cell_state
        for part, value in zip(parts, np.split(state, 2), strict=True):
            part.copy_(torch.from_numpy(value.astype(np.float32))[None, None])
        action = network(torch.from_numpy(seen)[None]).numpy().ravel()
        return action, np.concatenate([part.numpy().ravel() for part in parts])

    version = torch.__version__.partition("+")[0]
    return step, f"motion.pt itself on PyTorch {version}, as it drives the robot", True


def policy_in_numpy(path: Path) -> Step:
    """A step of the archive's arithmetic in NumPy."""
    arrays = arrays_of(path)
    w_in, w, b_in, b = (arrays[f"memory.{name}_l0"] for name in _LSTM)
    (first, first_bias), (last, last_bias) = ([arrays[f"actor.{at}.{of}"] for of in _DENSE] for at in (0, 2))

    def step(seen: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i, f, g, o = np.split(w_in @ seen + w @ state[:_UNITS] + b_in + b, 4)
        c = sigmoid(f) * state[_UNITS:] + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        y = first @ h + first_bias
        action = last @ np.where(y > 0, y, np.expm1(np.minimum(y, 0))) + last_bias
        return action, np.concatenate([h, c])

    return step


_LSTM, _DENSE = ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), ("weight", "bias")


def less_memory(robot: Robot, step: Step, walk: Walk) -> dict[str, Any]:
    """Does it walk on the last few observations alone, and on a state that is set anew at each step?

    Times of falls are from where its memory is taken; speeds are means over the second half of what comes after.
    """
    nothing, strides = np.zeros(2 * _UNITS), walk.states[-10 * STRIDE :].reshape(-1, STRIDE, 2 * _UNITS)
    at_phase = strides.mean(axis=0)  # of the states after steps 1, 2, … of a stride

    def of_the_last(window: int) -> Callable:
        def memory(seen: list[np.ndarray]) -> np.ndarray:
            state = nothing
            for each in seen[len(seen) - window + 1 :] if window > 1 else ():
                _, state = step(each, state)
            return state

        return memory

    def fall(tried: Walk) -> float | None:
        return None if tried.fell is None else rounded(tried.fell - BEFORE)

    def replaced(memory: Callable) -> float | None:
        return fall(walked(robot, step, BEFORE + TRIED, memory))

    tried = [walked(robot, step, BEFORE + TRIED, of_the_last(window)) for window in WINDOWS]
    half = round(TRIED / 0.04)
    return {
        "last": list(WINDOWS),
        "fell": [fall(each) for each in tried],
        "speed": [None if each.fell else rounded(each.speeds[-half:].mean(), 4) for each in tried],
        "replaced": {
            "zero": replaced(lambda _: nothing),
            "the mean of the walk": replaced(lambda _: strides.mean(axis=(0, 1))),
            "the mean at that phase of the stride": replaced(lambda seen: at_phase[(len(seen) - 1) % STRIDE]),
        },
    }


def pushed(robot: Robot, step: Step) -> dict[str, Any]:
    """How a push of the policy's state shows in the actions, m steps on: with what it reads held, and in the robot.

    The median over the pushes of the change of all actions, as a share of the change that the next action shows.
    """
    walker, rng = Walker(robot, step), np.random.default_rng(0)
    changes = np.zeros((2, PUSHES, AFTER))
    for _ in range(500):
        walker.act(walker.observe())
    for place in range(PUSHES):
        kept, seen, actions = walker.kept(), [], []
        for _ in range(AFTER):
            seen.append(walker.observe())
            walker.act(seen[-1])
            actions.append(walker.action)
        after = kept[:2], kept[2] + PUSH * _unit(rng.normal(size=2 * _UNITS)), kept[3]
        for of, is_held in enumerate((True, False)):
            walker.back_to((*after[0], *after[1:]))
            for m in range(AFTER):
                now = seen[m] if is_held else walker.observe()
                walker.act(now)
                changes[of, place, m] = np.linalg.norm(walker.action - actions[m])
        walker.back_to(kept)
        for _ in range(STRIDE + 7):  # all phases come
            walker.act(walker.observe())
    medians = np.median(changes / changes[:, :, :1], axis=1)
    at = [0, 1, 2, 4, 6, 9, 14, 19, 24, 29, 34, 39, 49, 59, 69, 79]
    return {
        "lag": [m + 1 for m in at],
        **{name: rounded(row[at], 3) for name, row in zip(("network", "robot"), medians, strict=True)},
    }


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def study(files: Files, told: About, folder: str, scene: str) -> Study:
    """Walk, read, compare; take memory away, and push it."""
    policy, settings, world = files.find(
        told,
        f"deploy/pre_train/{folder}/motion.pt",
        f"deploy/deploy_mujoco/configs/{folder}.yaml",
        f"resources/robots/{scene}/scene.xml",
    )
    try:
        import mujoco
    except ImportError:
        raise SystemExit(f"{told.name}: mujoco is not there; it comes by\n    {MUJOCO}") from None
    robot = Robot(mujoco, world, settings)
    step, against, is_runtime = policy_in_torch(policy)
    walk = walked(robot, step, SECONDS)
    cell = double(rd.interop.load(policy, prefix="memory."))
    run = rd.rollout(cell, np.zeros(2 * _UNITS), walk.seen.astype(float))
    actor = Partial(
        _actions, *(jnp.asarray(arrays_of(policy)[f"actor.{at}.{of}"]) for at in (0, 2) for of in _DENSE)
    )
    stride = np.asarray(rd.jacobian_product(run, start=run.steps - STRIDE).to_float())
    return Study(
        run,
        Partial(_knee, actor),
        "the angle asked of the left knee",
        f"{SECONDS:.0f} s of its own walk in MuJoCo {mujoco.__version__}, told to go ahead at {COMMAND[0]} m/s",
        Agreement(
            against,
            is_runtime,
            largest(run.states[1:], walk.states),
            largest(actor(run.states[1:]), walk.actions),
            run.steps,
        ),
        {"speed, m/s": float(walk.speeds[len(walk.speeds) // 4 :].mean()), "fell": walk.fell is not None},
        robot.standing(),
        "the observation of standing still",
        lambda x: float(_knee(actor, jnp.asarray(x))),
        more={
            "touching": walk.touching,
            "left_out": robot.left_out,
            "stride": STRIDE,
            "multipliers": rounded(np.sort(np.abs(np.linalg.eigvals(stride)))[::-1][:4], 4),
            "norm_of_a_stride": rounded(np.linalg.norm(stride, 2), 4),
            "memory": less_memory(robot, step, walk),
            "push": pushed(robot, step),
        },
    )


def _actions(first: Any, first_bias: Any, last: Any, last_bias: Any, x: Any) -> Any:
    y = jax.nn.elu(times(x[..., :_UNITS], first.T) + first_bias)
    return times(y, last.T) + last_bias


def _knee(actor: Any, x: Any) -> Any:
    return actor(x)[..., KNEE]
