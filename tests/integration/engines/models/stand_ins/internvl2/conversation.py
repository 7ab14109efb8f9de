"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
The system message is not the published one: an adapter has to take it from the model.
"""

import dataclasses


@dataclasses.dataclass
class Conversation:
    name: str
    system_template: str = "{system_message}"
    system_message: str = ""
    roles: tuple[str, str] = ("USER", "ASSISTANT")
    messages: list[list[str | None]] = dataclasses.field(default_factory=list)
    offset: int = 0
    sep_style: str = "MPT"
    sep: str = "\n"
    sep2: str | None = None
    stop_str: str | list[str] | None = None
    stop_token_ids: list[int] | None = None

    def get_prompt(self) -> str:
        turns = [f"{role}{text}{self.sep}" if text else str(role) for role, text in self.messages]
        return self.system_template.format(system_message=self.system_message) + self.sep + "".join(turns)

    def set_system_message(self, system_message: str) -> None:
        self.system_message = system_message

    def append_message(self, role: str, message: str | None) -> None:
        self.messages.append([role, message])

    def copy(self) -> "Conversation":
        return dataclasses.replace(self, messages=[list(turn) for turn in self.messages])


conv_templates = {
    "internlm2-chat": Conversation(
        name="internlm2-chat",
        system_template="<|im_start|>system\n{system_message}",
        system_message="你是测试用的小模型。",
        roles=("<|im_start|>user\n", "<|im_start|>assistant\n"),
        sep="<|im_end|>",
    )
}


def get_conv_template(name: str) -> Conversation:
    return conv_templates[name].copy()
