/** Starts a shell command by ProcessBuilder and reads what it prints, to the end. */
public class Spawn {
    public static void main(String[] nameAndCommand) throws Exception {
        var builder = new ProcessBuilder("sh", "-c", nameAndCommand[1]);
        var process = builder.redirectErrorStream(true).start();
        process.getInputStream().readAllBytes();
        process.waitFor();
    }
}
